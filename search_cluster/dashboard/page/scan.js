// A scan: what it does or found, the heat map of all blocks, the cards of the finalists, the front.
// Figures come from the server as the report has them; the style sheet colours their texts and lines.

import { byId, element, factRows, fill, svg, whenChanged } from "./dom.js";
import { drawFigure } from "./figures.js";

let shownTag = null;

// The tag of the plots and cards that have to be asked for; null if those that are shown are the latest.
export const wantedTag = (scan) => (scan && scan.tag !== shownTag ? scan.tag : null);

export function showScan(scan) {
  document.body.classList.toggle("is-scan", Boolean(scan));
  if (!scan) return;
  whenChanged("scan:screen", [scan.verdict, scan.sure, scan.lines], () => {
    byId("scan-verdict").hidden = scan.verdict === null;
    byId("scan-verdict").textContent = scan.verdict ?? "";
    byId("scan-verdict").classList.toggle("sure", scan.sure);
    byId("scan-notation").textContent = scan.notation;
    fill(byId("scan-lines"), scan.lines.map((line) => [element("dt", {}, line.topic), element("dd", { class: line.kind || null }, line.text)]).flat());
  });
  whenChanged("scan:rungs", scan.rungs, (rungs) => {
    byId("scan-race-section").hidden = !rungs.length;
    fill(byId("scan-rungs"), rungs.map((row) => element("tr", {}, element("td", {}, row.step), ...[row.questions, row.paths, row.wrecks, row.kept].map(number))));
  });
}

export function showPictures(pictures) {
  shownTag = pictures.tag;
  drawFigure("scan-map", pictures.heat_map);
  drawFigure("scan-front", pictures.front);
  fill(byId("scan-cards"), pictures.cards.map(card));
  byId("scan-top-section").hidden = !pictures.top.length;
  fill(byId("scan-top"), pictures.top.map((row) => element("tr", {}, element("td", { class: "edits" }, row.what), ...[row.layers, row.shrunk, row.gain, row.interval, row.questions].map(number))));
  if (pictures.provenance.length) factRows(byId("provenance"), pictures.provenance);
}

const number = (text) => element("td", { class: "number" }, text);

function card(finalist) {
  const guards = finalist.guards.length
    ? [element("tr", {}, element("th", { class: "group", colspan: 6 }, "tasks on which it must not lose")), ...finalist.guards.map(standing)]
    : [];
  const head = ["questions", "right, plain → path", "gain, points", "95 % interval", "", "p"];
  return element("section", { class: "finalist" },
    element("h2", {}, `${finalist.number}. ${finalist.title} `, finalist.is_chosen ? element("span", { class: "chip good" }, "reported") : null),
    element("p", { class: "saves quiet" }, finalist.saves.map((text) => element("span", {}, text)), element("code", {}, finalist.path)),
    element("table", { class: "standings" },
      element("thead", {}, element("tr", {}, head.map((name, index) => element("th", { class: index && name ? "number" : null }, name)))),
      element("tbody", {}, finalist.rows.map(standing), guards)));
}

function standing(row) {
  const cell = (label, text) => element("td", { class: "number", "data-label": label }, text);
  return element("tr", {},
    element("td", {}, row.what, element("br"), element("span", { class: "quiet" }, row.note)),
    cell("right", row.right), cell("gain", element("b", {}, row.gain)), cell("interval", row.interval),
    element("td", { class: "picture" }, row.whisker ? whisker(row) : null), cell("p", row.p));
}

function whisker({ whisker: { low, high, gain, zero }, kind, gain: said, interval }) {
  const line = (name, x1, x2, y1, y2) => svg("line", { class: name, x1, x2, y1, y2 });
  return svg("svg", { class: `whisker ${kind}`, viewBox: "0 0 100 20", preserveAspectRatio: "none", role: "img", "aria-label": `${said} (${interval})` },
    line("zero", zero, zero, 0, 20), line("reach", low, high, 10, 10), line("gain", gain, gain, 4, 16));
}
