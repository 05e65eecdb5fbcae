"use strict";
/* The live tail of the Audit list, and looking inside a row. The page reads the same without this file. */
{
  const $ = (selector, root = document) => root.querySelector(selector);
  const list = $("#ep-entries");
  const KEPT = 200;         /* rows on the page; older ones are on the next */
  const HELD = 500;         /* rows held back; beyond that a reload is the better answer */

  /* ---- markup that our own server made ---- */
  const parsed = (html) => { const box = document.createElement("template"); box.innerHTML = html; return box.content; };

  /* ---- Space on a row: what is inside ---- */
  async function unfold(row) {
    const next = row.nextElementSibling;
    if (next?.matches(".ep-expand")) { next.remove(); row.classList.remove("is-open"); return; }
    const inside = document.createElement("tr");
    inside.className = `ep-expand ${[...row.classList].filter((name) => name.startsWith("k-")).join(" ")}`;
    const cell = inside.insertCell();
    cell.colSpan = row.cells.length;
    row.after(inside);
    row.classList.add("is-open");
    try {
      const answer = await fetch(row.dataset.inside, { credentials: "same-origin" });
      if (!answer.ok) throw new Error(answer.statusText);
      cell.append(parsed(await answer.text()));
    } catch { cell.textContent = "The gateway did not answer; open the row instead."; }
  }

  document.addEventListener("keydown", (event) => {
    if (event.key !== " " || event.target.closest("input, textarea, select, button, summary, dialog")) return;
    const row = $("#result_list .is-current") ?? event.target.closest?.(".ep-row");
    if (row?.dataset.inside) { event.preventDefault(); event.stopImmediatePropagation(); unfold(row); }
  }, true);

  /* ---- live ---- */
  const box = $("#ep-live");
  const bar = $("#ep-newrows");
  let held = [];
  let socket;
  let wait = 500;
  let stale = false;        /* so much was missed that only a reload helps */

  const busy = () => window.scrollY > 40 || Boolean($(".ep-expand")) || Boolean($("#result_list .is-current"))
    || !(document.getSelection()?.isCollapsed ?? true) || Boolean($("details[open]"));

  function place(message) {
    const row = parsed(message.html).firstElementChild;
    if (row.querySelector(".field-cost")?.textContent !== "–") $("#result_list").classList.remove("is-costless");
    const old = $(`[data-entry="${message.id}"]`, list);
    if (old) {
      row.classList.add(...[...old.classList].filter((name) => name === "is-current" || name === "is-open"));
      old.replaceWith(row);
      return;
    }
    row.classList.add("is-fresh");
    row.dataset.place = message.place;
    list.prepend(row);
    list.dataset.after = message.place;
  }

  function trim() {
    const rows = list.querySelectorAll(".ep-row");
    for (let at = KEPT; at < rows.length; at += 1) rows[at].remove();
  }

  function show(messages) {
    messages.forEach(place);
    trim();
  }

  function take(messages) {
    if (!$("#result_list")) { location.reload(); return; }   /* the first entry of an empty page */
    const known = messages.filter((message) => $(`[data-entry="${message.id}"]`, list));
    const fresh = messages.filter((message) => !known.includes(message));
    known.forEach(place);
    held = held.filter((message) => !fresh.some((other) => other.id === message.id)).concat(fresh).slice(-HELD);
    if (!busy()) release();
    say();
  }

  function release() {
    show(held);
    held = [];
    say();
  }

  function say() {
    if (stale) return;
    bar.hidden = held.length === 0;
    $("b", bar).textContent = `${held.length} new`;
  }

  function figures({ lede, flight }) {
    $("#ep-lede").replaceChildren(parsed(lede));
    const strip = $("#ep-inflight");
    if (strip.contains(document.activeElement) && document.activeElement.matches("button")) return;   /* do not pull it away */
    if (new URLSearchParams(location.search).get("inflight") === "all") return;
    strip.replaceChildren(parsed(flight));
    strip.hidden = !strip.querySelector("tr");
  }

  /* too much came while we were away */
  function again() {
    if (!busy()) { location.reload(); return; }
    if (!bar) return;
    bar.hidden = false;
    $("b", bar).textContent = "Many new";
    stale = true;
  }

  function connect() {
    if (!list?.dataset.live || !box?.checked) return;
    const address = new URL(list.dataset.live, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    if (list.dataset.after) address.searchParams.set("after", list.dataset.after);
    socket = new WebSocket(address);
    socket.onopen = () => { wait = 500; mark(true); };
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.reload) again();
      if (message.rows?.length) take(message.rows);
      if (message.lede !== undefined) figures(message);
    };
    socket.onclose = (event) => {
      mark(false);
      if (!box.checked || event.code >= 4400) return;   /* we left, or may not come back */
      setTimeout(connect, wait);
      wait = Math.min(wait * 2, 30_000);
    };
  }

  function mark(there) {
    const shown = $(".ep-live");
    shown.classList.toggle("is-away", !there);
    $("span", shown).textContent = there || !box.checked ? "Live" : "Live (not connected)";
  }

  if (list?.dataset.live && "WebSocket" in window) {
    $(".ep-live").hidden = false;
    box.addEventListener("change", () => { if (box.checked) connect(); else socket?.close(); });
    bar?.addEventListener("click", (event) => {
      if (stale) return;                                       /* the link leads to the page itself */
      event.preventDefault();
      window.scrollTo(0, 0);
      release();
    });
    window.addEventListener("scroll", () => { if (held.length && !busy()) release(); }, { passive: true });
    connect();
  }
}
