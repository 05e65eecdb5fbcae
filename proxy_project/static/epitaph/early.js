"use strict";
/* Runs before the first paint. Whether Django's sidebar is folded away: its own script says so after it, and the page jumps.
   And in which zone the reader lives, from the sign-in page on: the server writes the pages in his time. */
{
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
  if (/^[\w+/-]+$/.test(zone)) document.cookie = `epitaph_zone=${zone}; path=/admin/; max-age=31536000; samesite=lax`;
}
document.documentElement.dataset.sidebar = localStorage.getItem("django.admin.navSidebarIsOpen") === "false" ? "closed" : "open";
