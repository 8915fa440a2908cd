"""Strings that would run if a page took them for anything but text. Whatever runs sets `window.ran`, or asks elsewhere."""

from __future__ import annotations

WAYS = (
    "<script>{}</script>",
    "</script><script>{}</script>",
    "</title><script>{}</script>",
    "</textarea></option></select><script>{}</script>",
    "</bdi></a></th></tr></table><script>{}</script>",
    "<svg><script>{}</script></svg>",
    "<!--><script>{}</script>-->",
    "<![CDATA[<script>{}</script>]]>",
    "&lt;script&gt;{}&lt;/script&gt;",
    "<scr<script>ipt>{}</scr</script>ipt>",
    "<img src=x onerror={}>",
    '"><img src=x onerror={}>',
    "'><svg onload={}>",
    '" onfocus={} autofocus tabindex=0 x="',
    "' onmouseover='{}",
    "<details open ontoggle={}>",
    "<input autofocus onfocus={}>",
    "<video><source onerror={}></video>",
    "<body onload={}>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror={}>",
    "javascript:{}",
    "<a href=javascript:{}>x</a>",
    "<form action=javascript:{}><button autofocus>",
    "<iframe srcdoc='<script>parent.{}</script>'></iframe>",
    "<object data=javascript:{}></object>",
    "<meta http-equiv=refresh content='0;url=javascript:{}'>",
    "<div hx-get=/ hx-trigger=load hx-on:htmx:after-request={}></div>",
    "{{{{constructor.constructor('{}')()}}}}",
    "<base href=//elsewhere.example/><link rel=stylesheet href=x.css?{}>",
    "<style>@import '//elsewhere.example/?{}';</style>",
)

DEEDS = ("window.ran=1", "top['ran']=`1`")

SCRIPTS = tuple(way.format(deed) for way in WAYS for deed in DEEDS)
