"""A real S3 server: Debian's Ceph, with one monitor, one store of objects in memory, and the gateway that speaks S3.

Everything listens on loopback and writes below one folder, as who runs the tests, root or not; it meets no other Ceph.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from tests.servers.process import ENDS_WITH_ITS_THREAD, START_SECONDS, NoServer, Server, is_listened_to, skip_without
from tests.servers.s3 import S3Server

PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "ceph", "ceph-authtool", "monmaptool", "radosgw-admin")

CONFIGURATION = "ceph.conf"

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
"""For the programs that prepare: one is Debian's Python, which should not meet our packages."""

STORE_BYTES = 4 << 30
"""How much the store of objects holds. It takes memory only for what is in it."""

SETTINGS = {
    "public_addr": "127.0.0.1",
    "cluster_addr": "127.0.0.1",
    "ms_bind_msgr1": "false",  # the older protocol would want a second port of the monitor
    "admin_socket": "",
    "log_file": "",
    "log_to_stderr": "true",
    "mon_cluster_log_to_file": "false",
    "debug_rocksdb": "0",
    "mon_data_avail_crit": "0",  # the monitor of a full disk ends itself otherwise
    "auth_allow_insecure_global_id_reclaim": "false",
    "osd_objectstore": "memstore",
    "memstore_device_bytes": str(STORE_BYTES),
    "osd_pool_default_size": "1",  # copies: there is one store
    "osd_pool_default_pg_num": "1",
    # The monitor gathers changes for a second before it writes them. A start waits for a dozen: 15 s, and 3 s without.
    "paxos_propose_interval": "0.02",
    "paxos_min_wait": "0.01",
    "rgw_enable_gc_threads": "false",  # it frees what was deleted two hours ago
    "rgw_thread_pool_size": "16",
}
"""Source: Ceph's documentation, release Pacific, "Ceph configuration" and "Ceph Object Gateway config reference"."""

CAPABILITIES = {
    "mon.": {"mon": "allow *"},
    "osd.0": {"mon": "allow *", "osd": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *"},
}
"""What each name may do; the gateway is the last."""


class Monitor(Server):
    """Knows who belongs to this Ceph, and tells everybody else."""

    started_through = ENDS_WITH_ITS_THREAD

    def command(self) -> list[str]:
        return ["ceph-mon", "-c", str(self.folder.parent / CONFIGURATION), "-i", "a", "-f"]

    def answers(self) -> bool:
        return is_listened_to(self.port)

    @property
    def address(self) -> str:
        return f"[v2:127.0.0.1:{self.port}]"

    @property
    def map(self) -> str:
        """The file that says where it is to listen: it would take Ceph's usual port without."""
        return str(self.folder / "monmap")


class Store(Server):
    """Holds the objects in memory: its end loses them. It finds a port of its own."""

    started_through = ENDS_WITH_ITS_THREAD

    def command(self) -> list[str]:
        return ["ceph-osd", "-c", str(self.folder.parent / CONFIGURATION), "-i", "0", "-f"]

    def answers(self) -> bool:
        return True  # whoever uses it waits for it


class CephServer(S3Server):
    """The gateway. What it answered outlives its own end, for monitor and store go on."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.monitor = Monitor(folder / "monitor")
        self.store = Store(folder / "store")

    def command(self) -> list[str]:
        return ["radosgw", "-c", str(self.folder / CONFIGURATION), "-n", "client.admin", "-f"]

    @property
    def family(self) -> tuple[Server, ...]:
        """The gateway, and what it needs."""
        return self, self.store, self.monitor

    def make(self) -> None:
        """Make an empty Ceph with one user, and start all of it.

        Raises:
            NoServer: a program failed, or took longer than a start may.
        """
        store_id = str(uuid4())
        self._make_folders()
        self._run("monmaptool", "--create", "--addv", "a", self.monitor.address, self.monitor.map)
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", self.monitor.map)
        self.monitor.start()
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", store_id, "--no-mon-config")
        self._run("ceph", "osd", "new", store_id)
        self.store.start()
        keys = (f"--access-key={self.access_key}", f"--secret-key={self.secret_key}")
        self._run("radosgw-admin", "user", "create", "--uid=tests", "--display-name=tests", *keys)
        self.start()

    def end(self) -> None:
        """End all three at once: nobody wants the data any more, and a frozen one would not hear a word."""
        for server in self.family:
            server.kill()

    def _make_folders(self) -> None:
        for server in (self.monitor, self.store):
            (server.folder / "data").mkdir(parents=True)
        settings = SETTINGS | self._own_settings()
        (self.folder / CONFIGURATION).write_text(sections({"global": settings}))
        key = {"key": self._run("ceph-authtool", "--gen-print-key").strip()}
        (self.folder / "keyring").write_text(sections({name: key | caps(name) for name in CAPABILITIES}))

    def _own_settings(self) -> Mapping[str, str]:
        """Return what no other Ceph has."""
        return {
            "fsid": str(uuid4()),
            "mon_host": self.monitor.address,
            "mon_data": str(self.monitor.folder / "data"),
            "osd_data": str(self.store.folder / "data"),
            "rgw_data": str(self.folder),
            "run_dir": str(self.folder),
            "crash_dir": str(self.folder),
            "keyring": str(self.folder / "keyring"),
            "rgw_frontends": f"beast endpoint=127.0.0.1:{self.port}",
        }

    def _run(self, program: str, *arguments: str) -> str:
        """Run one of Ceph's programs to its end, and return what it wrote to its stdout.

        Raises:
            NoServer: it failed, or took longer than a start may.
        """
        command = [*ENDS_WITH_ITS_THREAD, program, "-c", str(self.folder / CONFIGURATION), *arguments]
        try:
            done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=START_SECONDS)
        except subprocess.TimeoutExpired as exc:
            raise NoServer(f"{program} did not end in {START_SECONDS} s: {self._last_words()}") from exc
        if done.returncode != 0:
            raise NoServer(f"{program} failed: {done.stderr[-2000:]}")
        return done.stdout

    def _last_words(self) -> str:
        logs = (server.log for server in self.family if server.log.exists())
        return "\n".join(log.read_text(errors="replace")[-1000:] for log in logs)


def sections(content: Mapping[str, Mapping[str, str]]) -> str:
    """Return *content* as Ceph reads settings and keys: a name in brackets, then a setting a line."""
    lines = []
    for name, settings in content.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in settings.items())]
    return "\n".join(lines) + "\n"


def caps(name: str) -> Mapping[str, str]:
    """Return the lines of a keyring that say what *name* may do."""
    return {f"caps {service}": f'"{what}"' for service, what in CAPABILITIES[name].items()}


@contextmanager
def ceph_server(folder: Path) -> Iterator[CephServer]:
    """Run a Ceph with its data below *folder*, which must be empty, while the block runs.

    Raises:
        NoServer: there is none on this machine, or it did not start.
    """
    find_ceph()
    server = CephServer(folder)
    try:
        server.make()
        yield server
    finally:
        server.end()


def skip_without_ceph() -> None:
    """Skip the test where there is none; see `skip_without`."""
    skip_without(find_ceph, "WITHOUT_CEPH")


def find_ceph() -> None:
    """Make sure that all of its programs are there.

    Raises:
        NoServer: one is missing.
    """
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise NoServer(f"there is no {', '.join(missing)}: install Debian's radosgw, ceph-mon and ceph-osd")
