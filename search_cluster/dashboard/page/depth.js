// A depth study: what it found, its plots and its tables, which are drawn when somebody opens them.

import { byId, element, factRows, fill, whenChanged } from "./dom.js";
import { drawFigure } from "./figures.js";

let shownTag = null;

// The tag of the plots and tables that have to be asked for; null if nobody looks, or they are shown.
export const wantedDepthTag = (depth) => (depth && byId("depth").open && depth.tag !== shownTag ? depth.tag : null);

export function showDepth(depth) {
  const hadAny = document.body.classList.contains("has-depth");
  document.body.classList.toggle("has-depth", Boolean(depth));
  document.body.classList.toggle("is-depth", Boolean(depth?.is_all));
  if (!depth) return;
  if (!hadAny && depth.is_all) byId("depth").open = true;
  whenChanged("depth:found", depth, () => {
    byId("depth-title").textContent = depth.title;
    fill(byId("depth-notes"), depth.notes.map((text) => element("p", { class: "quiet" }, text)));
    fill(byId("depth-lines"), depth.lines.flatMap((line) => [element("dt", {}, line.topic), element("dd", {}, line.text)]));
  });
}

export function showDepthPictures(pictures) {
  shownTag = pictures.tag;
  fill(byId("depth-plots"), pictures.figures.map((_, number) => plotSection(`depth-plot-${number}`)));
  pictures.figures.forEach((figure, number) => drawFigure(`depth-plot-${number}`, figure));
  fill(byId("depth-tables"), pictures.tables.map(table));
  factRows(byId("depth-provenance"), pictures.provenance);
}

function plotSection(id) {
  return element("section", { id: `${id}-section`, class: "wide" },
    element("h2", { id: `${id}-title` }), element("p", { id: `${id}-caption`, class: "quiet" }),
    element("div", { id: `${id}-views`, class: "views" }), element("div", { id: `${id}-scale`, class: "scale" }), element("div", { id, class: "plot" }));
}

function table({ title, caption, columns, rows }) {
  return element("section", {},
    element("h2", {}, title), element("p", { class: "quiet" }, caption),
    element("div", { class: "scroll" }, element("table", { class: "figures" },
      element("thead", {}, element("tr", {}, columns.map((name) => element("th", {}, name)))),
      element("tbody", {}, rows.map((row) => element("tr", {}, row.map((cell) => element("td", {}, cell))))))));
}
