/* What makes a page unreadable, asked of the page itself. Each function returns the faults it found, as lines of text.
   contrast: visible texts below WCAG AA against what lies beneath them. The ground is the nearest opaque background, with
   translucent ones mixed in on the way. Texts inside drawings are left out: their ground is a drawing. */
({
  contrast() {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = (color) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      return [r, g, b, a / 255];
    };
    const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
    const linear = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    const ground = (element) => {
      const layers = [];
      for (let at = element; at; at = at.parentElement) {
        const color = rgba(getComputedStyle(at).backgroundColor);
        if (color[3]) layers.push(color);
        if (color[3] === 1) break;
      }
      return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
    };
    const exempt = "svg, script, style, option, [disabled], .is-off, .visually-hidden";
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      const text = walker.currentNode.data.trim();
      if (!text || element.closest(exempt) || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
      const style = getComputedStyle(element);
      const box = element.getBoundingClientRect();
      const size = parseFloat(style.fontSize);
      if (box.width < 2 || box.height < 2 || !size) continue;
      const under = ground(element);
      const [high, low] = [light(over(rgba(style.color), under)), light(under)].sort((a, b) => b - a);
      const ratio = (high + 0.05) / (low + 0.05);
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      if (ratio < (large ? 3 : 4.5) - 0.01) {
        found.push(`${ratio.toFixed(2)}: "${text.slice(0, 40)}" in ${element.tagName.toLowerCase()}.${element.className}`);
      }
    }
    return found;
  },

  nameless() {
    const controls = "a[href], button, input:not([type=hidden]), select, textarea, summary, svg[role=img]";
    const named = (e) =>
      e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.title || e.labels?.length || e.textContent.trim() ||
      (e.matches("[type=submit], [type=button]") && e.value) || e.querySelector("img[alt]:not([alt='']), [title]");
    return [...document.querySelectorAll(controls)].filter((e) => e.checkVisibility() && !named(e)).map((e) => e.outerHTML.slice(0, 120));
  },

  /* WCAG 2.2, 2.5.8: on a phone no control is smaller than a fingertip may miss; links within a sentence are exempt. */
  cramped() {
    if (document.documentElement.clientWidth > 480) return [];
    const controls = "button, summary, select, input:not([type=hidden], [type=checkbox], [type=radio]), .ep-btn, #ep-nav a, .ep-segmented a, .ep-tabs a";
    const small = (e) => { const { width, height } = e.getBoundingClientRect(); return height && Math.min(width, height) < 24; };
    const say = (e) => `${e.outerHTML.slice(0, 90)} is ${Math.round(e.getBoundingClientRect().width)} x ${Math.round(e.getBoundingClientRect().height)}`;
    return [...document.querySelectorAll(controls)].filter((e) => e.checkVisibility() && small(e)).map(say);
  },

  wider() {
    const most = document.documentElement.clientWidth + 1;
    if (document.documentElement.scrollWidth <= most) return [];
    const scrolled = (e) => { for (let at = e.parentElement; at; at = at.parentElement) if (/auto|scroll|hidden/.test(getComputedStyle(at).overflowX)) return true; };
    const out = (e) => e.getBoundingClientRect().right > most && e.checkVisibility() && !scrolled(e);
    const say = (e) => `${e.tagName.toLowerCase()}#${e.id}.${e.getAttribute("class")} to ${Math.round(e.getBoundingClientRect().right)}`;
    return [...document.body.querySelectorAll("*")].filter(out).slice(0, 5).map(say);
  },
})
