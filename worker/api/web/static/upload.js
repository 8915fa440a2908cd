// The page for uploads with a script: files and folders are dropped, a folder becomes a zip on its way, and how far it is
// is told. What is sent is the same form as without a script.
"use strict";

(() => {
  const MOST_FILES = 100000;
  const WIDE = 0xffffffff;
  const MANY = 0xffff;
  const PIECE = 4 << 20;
  const STEPS = [0.25, 0.5, 0.75];

  // A sentence for a person: what was wrong, and perhaps a code.
  class Trouble extends Error {
    constructor(sentence, code = "") {
      super(sentence);
      this.code = code;
    }
  }

  class Cancelled extends Error {}

  // Words ---------------------------------------------------------------------------------------
  const NBSP = "\u00a0";

  function size(count) {
    for (const [unit, factor] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
      if (count >= factor) return `${Number((count / factor).toPrecision(3))}${NBSP}${unit}`;
    }
    return `${count}${NBSP}B`;
  }

  const counted = (count, noun) => `${count.toLocaleString("en")}${NBSP}${noun}${count === 1 ? "" : "s"}`;

  function left(seconds) {
    if (!Number.isFinite(seconds) || seconds < 1) return "";
    if (seconds < 90) return `, about ${Math.round(seconds)}${NBSP}s left`;
    return seconds < 5400 ? `, about ${Math.round(seconds / 60)}${NBSP}min left` : `, about ${Math.round(seconds / 3600)}${NBSP}h left`;
  }

  // What is not to be seen is shown by its number.
  const visible = (text) => text.replace(/[\p{C}\u2028\u2029]/gu, (one) => `\\u{${one.codePointAt(0).toString(16)}}`);

  // CRC-32 (ISO 3309), eight bytes at a time -------------------------------------------------------
  const CRC = new Uint32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
    CRC[byte] = value;
  }
  for (let at = 256; at < CRC.length; at++) CRC[at] = (CRC[at - 256] >>> 8) ^ CRC[CRC[at - 256] & 255];

  function crc32(bytes, before) {
    let crc = ~before;
    let at = 0;
    for (const stop = bytes.length - 7; at < stop; at += 8) {
      crc ^= bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
      crc = CRC[1792 + (crc & 255)] ^ CRC[1536 + ((crc >>> 8) & 255)] ^ CRC[1280 + ((crc >>> 16) & 255)] ^ CRC[1024 + (crc >>> 24)]
        ^ CRC[768 + bytes[at + 4]] ^ CRC[512 + bytes[at + 5]] ^ CRC[256 + bytes[at + 6]] ^ CRC[bytes[at + 7]];
    }
    for (; at < bytes.length; at++) crc = (crc >>> 8) ^ CRC[(crc ^ bytes[at]) & 255];
    return ~crc >>> 0;
  }

  async function crcOf(file, path, told) {
    let crc = 0;
    for (let at = 0; at < file.size; at += PIECE) {
      let bytes;
      try {
        bytes = new Uint8Array(await file.slice(at, at + PIECE).arrayBuffer());
      } catch {
        throw new Trouble(`${visible(path)} cannot be read: it is gone, has changed, or you may not read it. Nothing was sent.`);
      }
      crc = crc32(bytes, crc);
      told(bytes.length);
    }
    return crc;
  }

  // Zip (APPNOTE 6.3.10): all stored, sizes and CRC before the data, names in UTF-8 with flag 11, wide fields where needed --------
  class Fields {
    constructor(length) {
      this.view = new DataView(new ArrayBuffer(length));
      this.at = 0;
    }
    u16(...values) {
      for (const value of values) { this.view.setUint16(this.at, value, true); this.at += 2; }
      return this;
    }
    u32(...values) {
      for (const value of values) { this.view.setUint32(this.at, value, true); this.at += 4; }
      return this;
    }
    u64(...values) {
      for (const value of values) { this.view.setBigUint64(this.at, BigInt(value), true); this.at += 8; }
      return this;
    }
    get buffer() { return this.view.buffer; }
  }

  const UTF8_FLAG = 1 << 11;
  const MIDNIGHT_1980 = [0, 0x21]; // a zip of the same files is the same zip
  const narrow = (value) => Math.min(value, WIDE);

  function localHeader(name, crc, length) {
    const isWide = length >= WIDE;
    const head = new Fields(30 + (isWide ? 20 : 0));
    head.u32(0x04034b50).u16(isWide ? 45 : 20, UTF8_FLAG, 0, ...MIDNIGHT_1980).u32(crc, narrow(length), narrow(length));
    head.u16(name.length, isWide ? 20 : 0);
    const extra = isWide ? new Fields(20).u16(1, 16).u64(length, length).buffer : new ArrayBuffer(0);
    return [head.buffer.slice(0, 30), name, extra];
  }

  function directoryEntry(name, crc, length, place) {
    const wide = [...(length >= WIDE ? [length, length] : []), ...(place >= WIDE ? [place] : [])];
    const extra = wide.length ? new Fields(4 + 8 * wide.length).u16(1, 8 * wide.length).u64(...wide).buffer : new ArrayBuffer(0);
    const version = wide.length ? 45 : 20;
    const head = new Fields(46);
    head.u32(0x02014b50).u16(version, version, UTF8_FLAG, 0, ...MIDNIGHT_1980).u32(crc, narrow(length), narrow(length));
    head.u16(name.length, extra.byteLength, 0, 0, 0).u32(0, narrow(place));
    return [head.buffer, name, extra];
  }

  function directoryEnd(count, length, start) {
    const end = new Fields(22);
    end.u32(0x06054b50).u16(0, 0, Math.min(count, MANY), Math.min(count, MANY)).u32(narrow(length), narrow(start)).u16(0);
    if (count < MANY && length < WIDE && start < WIDE) return [end.buffer];
    const wide = new Fields(56).u32(0x06064b50).u64(44).u16(45, 45).u32(0, 0).u64(count, count, length, start);
    const locator = new Fields(20).u32(0x07064b50, 0).u64(start + length).u32(1);
    return [wide.buffer, locator.buffer, end.buffer];
  }

  function nameBytes(path) {
    if (path.isWellFormed && !path.isWellFormed()) throw new Trouble(`${visible(path)}: its name is no text that can be sent. Rename it.`);
    if (path.includes("\\")) throw new Trouble(`${visible(path)}: a name with a backslash means a folder elsewhere. Rename it.`);
    const bytes = new TextEncoder().encode(path);
    const longest = Math.max(...path.split("/").map((part) => new TextEncoder().encode(part).length));
    if (bytes.length > 4096 || longest > 255) throw new Trouble(`${visible(path.slice(0, 80))}…: this name is too long. Rename it.`);
    return bytes;
  }

  // A Blob that names the files and does not hold them: the browser reads them when it sends.
  async function zipped(files, told, isCancelled) {
    const body = [];
    const directory = [];
    let at = 0;
    for (const { path, file } of files) {
      if (isCancelled()) throw new Cancelled();
      const name = nameBytes(path);
      const crc = await crcOf(file, path, told);
      if (isCancelled()) throw new Cancelled();
      const head = localHeader(name, crc, file.size);
      directory.push(...directoryEntry(name, crc, file.size, at));
      body.push(...head, file);
      at += head.reduce((sum, part) => sum + part.byteLength, 0) + file.size;
    }
    const length = directory.reduce((sum, part) => sum + part.byteLength, 0);
    return new Blob([...body, ...directory, ...directoryEnd(files.length, length, at)], { type: "application/zip" });
  }

  // What was chosen --------------------------------------------------------------------------------
  // {name, files: [{path, file}], isFolder}
  async function below(entry, prefix, found, told) {
    if (entry.isFile) {
      const file = await new Promise((done, failed) => entry.file(done, failed)).catch(() => {
        throw new Trouble(`${visible(prefix + entry.name)} cannot be read. Nothing was sent.`);
      });
      found.push({ path: prefix + entry.name, file });
      if (found.length > MOST_FILES) throw new Trouble(`There are more than ${counted(MOST_FILES, "file")} in it; no more are taken at once.`);
      told(found.length);
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((done, failed) => reader.readEntries(done, failed)).catch(() => {
        throw new Trouble(`The folder ${visible(prefix + entry.name)} cannot be read. Nothing was sent.`);
      });
      if (!some.length) return;
      for (const one of some) await below(one, `${prefix}${entry.name}/`, found, told);
    }
  }

  function folderOf(files, fallback) {
    if (!files.length) throw new Trouble("The folder is empty: there is no file to send. Choose another.");
    if (files.length > MOST_FILES) throw new Trouble(`There are ${counted(files.length, "file")} in it; at most ${counted(MOST_FILES, "file")} are taken at once.`);
    const tops = new Set(files.map(({ path }) => path.split("/")[0]));
    const top = tops.size === 1 && files.every(({ path }) => path.includes("/")) ? [...tops][0] : "";
    const inside = files.map(({ path, file }) => ({ path: top ? path.slice(top.length + 1) : path, file }));
    return { name: top || fallback, files: inside, isFolder: true };
  }

  async function dropped(items, told) {
    const entries = [...items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry() || item.getAsFile());
    if (!entries.length) throw new Trouble("That is no file. Drop a file or a folder.");
    const found = [];
    for (const entry of entries) {
      if (entry instanceof File) found.push({ path: entry.name, file: entry });
      else await below(entry, "", found, told);
    }
    if (entries.length === 1 && found.length === 1 && !found[0].path.includes("/")) return oneFile(found[0].file);
    return folderOf(found, "files");
  }

  function oneFile(file) {
    if (!file.size) throw new Trouble(`${visible(file.name)} is empty (0 bytes): there is nothing to register. Choose another.`);
    return { name: file.name, files: [{ path: file.name, file }], isFolder: false };
  }

  const bytesOf = (chosen) => chosen.files.reduce((sum, { file }) => sum + file.size, 0);

  // Sending ----------------------------------------------------------------------------------------
  const SAID = {
    0: "The connection broke off. Nothing was registered; try again. If it breaks again, the file may have changed while it was sent, or the server is gone.",
    401: "Your session is over. Sign in again in another tab, then press Upload again.",
    403: "This is not allowed. Reload the page and try again; if it stays so, your token may not upload.",
    408: "It came too slowly, and the server gave up. Nothing was stored.",
    413: "It is larger than the server takes. Nothing was stored.",
    415: "The server does not take this kind of file. Nothing was stored.",
    429: "Too many requests in a short time. Nothing was stored; wait a minute.",
    503: "A part of the server does not answer. Nothing was registered; try again in a few seconds.",
    507: "The server has no room for it just now. Nothing was stored.",
  };

  function troubleOf(xhr) {
    let problem = {};
    try { problem = JSON.parse(xhr.responseText); } catch { /* a page, or nothing */ }
    const detail = typeof problem.detail === "string" ? problem.detail : "";
    const code = typeof problem.type === "string" ? problem.type.split(":").pop() : "";
    if (xhr.status === 422 && detail) return new Trouble(`${detail[0].toUpperCase()}${detail.slice(1)}. Nothing was stored.`, code);
    const said = SAID[xhr.status] || "Something went wrong that nobody foresaw. Look below whether it was registered.";
    return new Trouble(detail && xhr.status !== 401 ? `${said} (${detail})` : said, code || (xhr.status ? `${xhr.status}` : ""));
  }

  // Resolves to the place in the list that the server gives back.
  function sent(xhr, form, body, told) {
    return new Promise((done, failed) => {
      xhr.open("POST", form.getAttribute("action"));
      xhr.setRequestHeader("HX-Request", "true");
      xhr.setRequestHeader("X-CSRF-Token", form.elements.csrf.value);
      xhr.upload.onprogress = (event) => told(event.loaded, event.total);
      xhr.upload.onload = () => told(1, 1);
      xhr.onload = () => (xhr.status === 200 ? done(xhr.responseText) : failed(troubleOf(xhr)));
      xhr.onerror = () => failed(troubleOf(xhr));
      xhr.onabort = () => failed(new Cancelled());
      xhr.send(body);
    });
  }

  // The page ---------------------------------------------------------------------------------------
  function begin(form) {
    const part = (id) => document.getElementById(id);
    const input = part("file");
    const folder = part("folder");
    let chosen = null;
    let running = null; // {xhr, isCancelled}
    let mine = ""; // the upload whose end is told aloud

    const say = (words) => { part("said").textContent = words; };

    function tell(trouble) {
      const place = part("wrong");
      place.hidden = !trouble;
      place.replaceChildren();
      if (!trouble) return;
      place.append(trouble.message);
      if (trouble.code) {
        const code = document.createElement("code");
        code.textContent = trouble.code;
        const line = document.createElement("span");
        line.className = "sub";
        line.append("Reason ", code);
        place.append(line);
      }
      say(trouble.message);
    }

    function choose(what, isKnown = false) {
      chosen = what;
      const line = part("chosen");
      line.hidden = !what;
      part("unpack-line").hidden = !what || what.isFolder || !what.name.toLowerCase().endsWith(".zip");
      if (!what) return;
      const name = document.createElement("strong");
      name.textContent = visible(what.name);
      const more = document.createElement("span");
      more.className = "quiet";
      more.textContent = what.isFolder ? ` folder, ${counted(what.files.length, "file")}, ${size(bytesOf(what))}` : ` ${size(bytesOf(what))}`;
      line.replaceChildren(name, more);
      if (!isKnown) say(`Chosen: ${line.textContent}`);
    }

    async function chose(how) {
      if (running) return;
      tell(null);
      choose(null);
      try {
        const what = await how();
        const most = Number(form.dataset.most);
        if (bytesOf(what) > most) throw new Trouble(`It has ${size(bytesOf(what))}; at most ${size(most)} are taken.`, "too-long");
        choose(what);
      } catch (trouble) {
        if (!(trouble instanceof Trouble)) throw trouble;
        tell(trouble);
      }
    }

    function lock(isLocked) {
      for (const one of form.elements) if (one.id !== "cancel") one.disabled = isLocked;
      part("sending").hidden = !isLocked;
      part("go").hidden = isLocked;
      if (isLocked) { part("chosen").hidden = true; part("unpack-line").hidden = true; }
      else choose(chosen, true);
      part("drop").classList.toggle("off", isLocked);
    }

    function meter() {
      let begun = performance.now();
      let spoken = 0;
      let phase = "";
      return (now, done, total) => {
        if (phase !== now) {
          phase = now; begun = performance.now(); spoken = 0;
          part("sending-state").textContent = now;
          say(`${now}.`);
        }
        const share = total ? done / total : 0;
        part("sending-bar").value = share;
        const seconds = (performance.now() - begun) / 1000;
        part("sending-words").textContent = `${size(done)} of ${size(total)}${seconds > 2 && share > 0 ? left(seconds * (1 - share) / share) : ""}`;
        const step = STEPS.filter((one) => share >= one).length;
        if (step > spoken && seconds > 3) { spoken = step; say(`${now}: ${STEPS[step - 1] * 100} percent.`); }
      };
    }

    async function send() {
      const what = chosen;
      const total = bytesOf(what);
      const xhr = new XMLHttpRequest();
      running = { xhr, isCancelled: false };
      const body = new FormData(form);
      body.delete("file");
      lock(true);
      part("cancel").hidden = false;
      part("cancel").focus();
      part("sending-name").textContent = visible(what.name);
      const told = meter();
      let isSent = false;
      let wasCancelled = false;
      try {
        let file = what.files[0].file;
        let name = what.name;
        if (what.isFolder) {
          let read = 0;
          told("Reading the folder", 0, total);
          file = await zipped(what.files, (count) => { read += count; told("Reading the folder", read, total); }, () => running.isCancelled);
          name = `${what.name}.zip`;
          body.set("unpack", "yes");
        }
        if (file.size > Number(form.dataset.most)) throw new Trouble(`It has ${size(file.size)}; at most ${size(Number(form.dataset.most))} are taken.`, "too-long");
        if (running.isCancelled) throw new Cancelled();
        body.append("file", file, name);
        told("Uploading", 0, file.size);
        const place = await sent(xhr, form, body, (loaded, all) => {
          if (loaded < all) { told("Uploading", Math.min(loaded, file.size), file.size); return; }
          if (isSent) return;
          isSent = true;
          told("Sent. It is being scanned", file.size, file.size);
          part("sending-bar").removeAttribute("value");
          part("sending-words").textContent = size(file.size);
          part("cancel").hidden = true; // its files are whole there
        });
        show(place);
        form.reset();
        input.value = "";
        choose(null);
      } catch (trouble) {
        if (trouble instanceof Cancelled) wasCancelled = true;
        else if (trouble instanceof Trouble) tell(trouble);
        else { tell(new Trouble("Something went wrong in this browser; nothing was registered.")); console.error(trouble); }
      } finally {
        running = null;
        lock(false);
      }
      if (wasCancelled) {
        say("Cancelled. Nothing was stored.");
        part("chosen").append(" Cancelled, nothing was stored.");
      }
      if (chosen) part("go").focus(); // nothing came of it, and it may be sent again
    }

    // What the server made, as htmx puts it in: scripts in it are not run, and all text in it was escaped.
    function show(place) {
      const list = part("uploads");
      const found = new DOMParser().parseFromString(place, "text/html").querySelector("li.upload");
      if (!found) throw new Trouble("The server said something that this page does not understand. Reload it.");
      part("none-yet").hidden = true;
      list.querySelector(`li[data-upload="${CSS.escape(found.dataset.upload)}"]`)?.remove();
      list.prepend(found);
      mine = found.dataset.upload;
      window.htmx?.process(found);
      told(found);
      const link = found.querySelector("a");
      (link || list).focus({ preventScroll: false });
    }

    function told(place) {
      if (place.dataset.upload !== mine) return;
      say(place.dataset.over || "It is there, and waits to be scanned.");
    }

    document.addEventListener("htmx:load", (event) => { if (event.detail.elt.dataset?.over) told(event.detail.elt); });

    input.required = false;
    const strong = document.createElement("strong");
    strong.textContent = "Drop a file or folder here";
    part("drop-words").replaceChildren(strong);
    input.classList.add("sr");
    part("picks").hidden = false;
    part("choose-folder").hidden = !("webkitdirectory" in folder);
    part("no-script").hidden = true;
    part("unpack-line").hidden = true;

    input.addEventListener("change", () => { if (input.files.length) chose(async () => oneFile(input.files[0])); else if (!running) choose(null); });
    part("choose-folder").addEventListener("click", () => folder.click());
    folder.addEventListener("change", () => {
      const files = [...folder.files].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
      input.value = "";
      chose(async () => folderOf(files, "files"));
    });

    const drop = part("drop");
    drop.addEventListener("click", (event) => { if (!event.target.closest("label, input, button") && !running) input.click(); });
    let depth = 0;
    for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault()); // a miss opens no file
    drop.addEventListener("dragenter", () => { depth += 1; drop.classList.add("over"); });
    drop.addEventListener("dragleave", () => { depth -= 1; if (depth <= 0) { depth = 0; drop.classList.remove("over"); } });
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      depth = 0;
      drop.classList.remove("over");
      const items = [...event.dataTransfer.items].map((item) => ({
        kind: item.kind, entry: item.webkitGetAsEntry?.(), file: item.kind === "file" ? item.getAsFile() : null,
      }));
      const taken = items.map(({ kind, entry, file }) => ({ kind, webkitGetAsEntry: () => entry, getAsFile: () => file }));
      input.value = "";
      chose(() => dropped(taken, (count) => {
        if (count % 500 === 0) { part("chosen").hidden = false; part("chosen").textContent = `Found ${counted(count, "file")}…`; }
      }));
    });

    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (running) return;
      tell(null);
      if (!chosen) { tell(new Trouble("Choose a file or a folder first.")); input.focus(); return; }
      send();
    });
    part("cancel").addEventListener("click", () => {
      if (!running) return;
      running.isCancelled = true;
      running.xhr.abort();
    });
    window.addEventListener("beforeunload", (event) => { if (running && !part("cancel").hidden) event.preventDefault(); });
  }

  document.addEventListener("DOMContentLoaded", () => {
    const form = document.getElementById("upload");
    if (form) begin(form);
  });
})();
