"use strict";
/* Keyboard, palette, copying, badge. No inline handler, no eval, no request to another host.
   Every action also works without this file: links are links and buttons submit forms. */
{
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const say = (text) => { const region = $("#ep-said"); if (region) region.textContent = text; };
  const csrf = () => $("[name=csrfmiddlewaretoken]")?.value ?? "";

  /* ---- rows: j k x e m r Space [ ] ---- */
  const rows = () => $$("#result_list tbody tr:not(.ep-expand), .ep-rows > *");
  const opener = (row) => $(".field-time a, .ep-l1 > a, th a, a", row);

  function move(step) {
    const all = rows();
    if (!all.length) return;
    const at = all.findIndex((row) => row.classList.contains("is-current"));
    const next = all[Math.max(0, Math.min(all.length - 1, at < 0 ? 0 : at + step))];
    all.forEach((row) => row.classList.toggle("is-current", row === next));
    opener(next)?.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  }

  function count() {
    const counter = $(".ep-actions .action-counter");
    if (!counter) return;
    const boxes = $$(".action-select");
    counter.textContent = `${boxes.filter((box) => box.checked).length} of ${boxes.length} selected`;
  }

  const press = (value) => $(`.ep-actions [value="${value}"], .ep-tools [value="${value}"]`)?.click();
  const typing = (target) => target.closest("input, textarea, select, dialog, [contenteditable]") && !target.matches("[type=checkbox]");

  function select(row) {
    const box = row && $(".action-select", row);
    if (box) box.click();
  }

  function expand(row) {
    const inside = row?.nextElementSibling;
    if (inside?.matches(".ep-expand")) inside.hidden = !inside.hidden;
  }

  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") { event.preventDefault(); openPalette(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const current = $(".is-current");
    const keys = {
      j: () => move(1), k: () => move(-1), x: () => select(current),
      e: () => press("resolve"), m: () => $("[data-key=m] summary")?.click(), r: () => press("read"),
      c: () => $("[data-key=c], .ep-event-foot [data-ep^=copy], .ep-tools [data-ep^=copy]")?.click(),
      "/": () => $("#searchbar")?.focus(), "?": () => $("#ep-help")?.showModal(),
      "[": () => $("a[rel=prev]")?.click(), "]": () => $("a[rel=next]")?.click(),
    };
    if (current?.nextElementSibling?.matches(".ep-expand")) keys[" "] = () => expand(current);
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });

  document.addEventListener("change", (event) => {
    if (event.target.id === "action-toggle") $$(".action-select").forEach((box) => { box.checked = event.target.checked; });
    if (event.target.matches("#action-toggle, .action-select")) count();
  });

  /* On a phone the tabs are wider than the screen: the one that is open is brought into sight, no further than it must be,
     since the number of unread errors stands among the first. */
  const here = $("#ep-nav [aria-current]");
  if (here) {
    const tabs = here.closest("ul");
    tabs.scrollLeft = here.offsetLeft - tabs.offsetLeft + here.offsetWidth - tabs.clientWidth;
  }

  /* Django's script remembers whether the sidebar is folded; early.js tells the stylesheet before the first paint. */
  $("#toggle-nav-sidebar")?.addEventListener("click", () => {
    document.documentElement.dataset.sidebar = $("#main").classList.contains("shifted") ? "open" : "closed";
  });

  /* ---- palette ---- */
  const palette = $("#ep-palette");
  const input = $("#ep-palette-input");

  function openPalette() {
    if (!palette || palette.open) return;
    palette.showModal();
    input.select();
  }

  function narrow() {
    const wanted = input.value.trim();
    for (const item of $$("#ep-palette-list li:not(.ep-found)")) {
      const search = $("[data-search]", item);
      if (search) {
        item.hidden = !wanted;
        search.href = search.dataset.search + encodeURIComponent(wanted);
        $("code", search).textContent = wanted;
      } else item.hidden = !item.textContent.toLowerCase().includes(wanted.toLowerCase());
    }
    clearTimeout(narrow.waiting);
    narrow.waiting = setTimeout(() => find(wanted), 120);
  }

  /* What the server knows by that name, ahead of what this page knows. */
  async function find(wanted) {
    const answer = wanted.length < 2 ? null : await fetch(`${palette.dataset.find}?q=${encodeURIComponent(wanted)}`).catch(() => null);
    const items = answer?.ok ? (await answer.json()).items : [];
    if (input.value.trim() !== wanted) return;
    $$("#ep-palette-list .ep-found").forEach((item) => item.remove());
    $("#ep-palette-list").prepend(...items.map((item) => {
      const link = Object.assign(document.createElement("a"), { href: item.url });
      link.append(Object.assign(document.createElement("code"), { textContent: item.text }), " ",
        Object.assign(document.createElement("span"), { className: "quiet", textContent: item.hint }));
      const row = Object.assign(document.createElement("li"), { className: "ep-found" });
      row.append(link);
      return row;
    }));
  }

  input?.addEventListener("input", narrow);
  palette?.addEventListener("keydown", (event) => {
    const links = $$("#ep-palette-list li:not([hidden]) a");
    const at = links.indexOf(document.activeElement);
    if (event.key === "ArrowDown") { event.preventDefault(); links[Math.min(links.length - 1, at + 1)]?.focus(); }
    if (event.key === "ArrowUp") { event.preventDefault(); (at <= 0 ? input : links[at - 1]).focus(); }
    if (event.key === "Enter" && at < 0) { event.preventDefault(); links[0]?.click(); }
  });

  /* ---- buttons that need no form ---- */
  async function copy(button) {
    const source = button.dataset.text ?? $("#" + button.dataset.copy)?.textContent ?? "";
    try { await navigator.clipboard.writeText(source); say("Copied"); button.dataset.done = "1"; } catch { say("The browser did not allow copying"); }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-ep]");
    if (button?.dataset.ep === "palette") openPalette();
    if (button?.dataset.ep.startsWith("copy")) { if (button.href) event.preventDefault(); copy(button); }   /* without the script a link shows the text */
    $$("details[name^=ep-][open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") $$("details[name^=ep-][open]").forEach((menu) => { menu.open = false; $("summary", menu).focus(); });
  });

  /* ---- badge: the server wrote the number; this only keeps it fresh ---- */
  window.epitaphBadge = (unread) => {
    const badge = $("#ep-badge");
    if (!badge) return;
    const before = Number(badge.dataset.unread);
    badge.dataset.unread = unread;
    badge.title = `${unread} unread events`;
    badge.firstChild.data = unread > 99 ? "99+" : String(unread);
    badge.classList.toggle("is-growing", unread > before);
    if (unread > before) say(`${unread} unread errors`);
  };

  const BADGE_PERIOD = 30_000;
  let asked = Date.now();
  async function refreshBadge() {
    const badge = $("#ep-badge");
    if (!badge || document.visibilityState !== "visible") return;
    asked = Date.now();
    try {
      const answer = await fetch(badge.dataset.count, { headers: { accept: "application/json" }, credentials: "same-origin" });
      if (answer.ok) window.epitaphBadge((await answer.json()).unread);
    } catch { /* the gateway is away; the next round asks again */ }
  }
  setInterval(refreshBadge, BADGE_PERIOD);
  document.addEventListener("visibilitychange", () => { if (Date.now() - asked >= BADGE_PERIOD) refreshBadge(); });

  /* ---- the overview keeps itself fresh: what it shows is asked for again, and left alone while somebody reads in it ---- */
  const LIVE_PERIOD = 20_000;
  async function refreshParts() {
    const parts = $$("[data-live]");
    if (!parts.length || document.visibilityState !== "visible") return;
    const answer = await fetch(location.href, { credentials: "same-origin" }).catch(() => null);
    if (!answer?.ok || answer.redirected) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of parts) {
      const next = fresh.getElementById(part.id);
      if (next && !part.matches(":hover, :focus-within")) part.replaceChildren(...next.childNodes);
    }
  }
  if ($("[data-live]")) setInterval(refreshParts, LIVE_PERIOD);

  /* ---- script errors of these pages are events like any other ---- */
  let reports = 5;   /* for each page: a loop that fails must not flood the log */
  function report(name, error, text) {
    const api = $("#ep-badge")?.dataset.report;
    if (!api || reports-- <= 0) return;
    const body = { name: name.slice(0, 200), message: String(text).slice(0, 4000), stack: String(error?.stack ?? "").slice(0, 10000),
      source: "renderer", context: { path: location.pathname } };
    fetch(api, { method: "POST", body: JSON.stringify(body), credentials: "same-origin", keepalive: true,
      headers: { "content-type": "application/json", "x-csrftoken": csrf() } }).catch(() => {});
  }
  window.addEventListener("error", (event) => { if (event.message) report(event.error?.name ?? "ScriptError", event.error, event.message); });
  window.addEventListener("unhandledrejection", (event) => report(event.reason?.name ?? "UnhandledRejection", event.reason, event.reason?.message ?? event.reason));
}
