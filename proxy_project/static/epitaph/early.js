"use strict";
/* Runs before the first paint: whether Django's sidebar is folded away. Its own script says so after it, and the page jumps. */
document.documentElement.dataset.sidebar = localStorage.getItem("django.admin.navSidebarIsOpen") === "false" ? "closed" : "open";
