// How a page looks: nothing over its edge, nothing cut off, every text easy to read.

export const WIDTHS = [1440, 820, 390];
export const PAGES = ["overview", "connections", "connections/ended", "users", "channels", "limits", "events", "try", "tokens", "webhooks", "server", "audit"];

// What is wrong with it.
export const faults = (page) => page.evaluate(() => {
  const wrong = [], root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) {
    const wide = [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > root.clientWidth + 1).slice(0, 3);
    wrong.push(`it is ${root.scrollWidth} wide, not ${root.clientWidth}: ${wide.map((one) => one.outerHTML.slice(0, 80)).join(" | ")}`);
  }
  for (const one of document.querySelectorAll(".figure .value, .figure .name, th, td, button, .pill, dd, h1, h2, nav a, figcaption span, label")) {
    const style = getComputedStyle(one);
    if (style.display !== "inline" && style.visibility !== "hidden" && one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0) {
      wrong.push(`cut off: ${one.outerHTML.slice(0, 100)}`);
    }
  }
  for (const one of document.querySelectorAll(".table")) if (one.scrollWidth > one.clientWidth) wrong.push(`a table of ${one.scrollWidth} in ${one.clientWidth}: ${one.textContent.slice(0, 60)}`);
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colours = new Map();
  const rgba = (colour) => {
    if (!colours.has(colour)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      colours.set(colour, [r, g, b, a / 255]);
    }
    return colours.get(colour);
  };
  const over = ([r, g, b, a], below) => [r * a + below[0] * (1 - a), g * a + below[1] * (1 - a), b * a + below[2] * (1 - a), 1];
  const behind = (one) => {
    const layers = [];
    for (let at = one; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const light = (colour) => colour.slice(0, 3).map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const told = new Set();
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const one = text.parentElement, style = getComputedStyle(one);
    if (!text.data.trim() || !one.checkVisibility() || ["SCRIPT", "STYLE", "NOSCRIPT"].includes(one.tagName)) continue;
    const back = behind(one), front = over(rgba(style.color), back);
    const [high, low] = [light(front), light(back)].sort((a, b) => b - a);
    const contrast = (high + 0.05) / (low + 0.05), what = `${one.tagName}.${one.className}`;
    if (contrast < 4.5 && !told.has(what)) {
      told.add(what);
      wrong.push(`contrast ${contrast.toFixed(2)}: ${what} "${text.data.trim().slice(0, 40)}"`);
    }
  }
  return wrong;
});

// The address of a page in the console.
export const at = (name, project, query = "") => `#/${name}?project=${project}${query}`;

// Goes there, and waits until it has what it shows.
export async function visit(page, hash) {
  await page.evaluate((hash) => { location.hash = hash; }, hash);
  await page.waitForFunction(() => document.querySelector("main h1") && !document.querySelector("main [aria-busy]"));
  await page.waitForTimeout(150);
}
