// One example: its texts, the tree of its paths, and the path that is selected.

import { CONFIG, layout } from "./charts.js";
import { byId, element, fill, show } from "./dom.js";
import { count, decimal, interval, NONE, percent, plural } from "./format.js";
import { outcomeChip } from "./table.js";
import { colour, onThemeChange } from "./theme.js";

const ROW_PX = 24;
const DEPTH_PX = 110;
let shown = null;
let selected = 0;

export const isShown = (id) => shown !== null && shown.id === id;

export function showExample(example) {
  shown = example;
  selected = Math.max(0, example.paths.findIndex((path) => path.best_rank === 0));
  show(byId("example-problem"), "");
  fill(byId("example-body"), texts(example), element("div", { class: "detail" }, treeSection(example), element("section", { id: "selected", "aria-live": "polite" })), pathsSection(example));
  select(selected);
  drawTree();
}

export function showExampleProblem(text) {
  shown = null;
  fill(byId("example-body"));
  show(byId("example-problem"), text);
}

export function startExample() {
  onThemeChange(() => { if (shown !== null && !byId("example").hidden) drawTree(); });
}

const graded = (path) => (path.failure ? "wrong" : path.reward >= 1 ? "right" : "wrong");

function texts(example) {
  const plain = example.paths.find((path) => path.path === `0-${example.num_layers - 1}`);
  const best = example.paths.find((path) => path.best_rank === 0);
  const answer = (label, path, none) => element("div", {}, element("span", {}, label), path && !path.failure ? element("b", { class: graded(path) }, path.output || "(empty)") : element("b", {}, none));
  const choices = example.choices.length ? element("ol", { class: "choices", type: "A" }, example.choices.map((choice, index) => element("li", { class: index === example.gold_index ? "gold" : null }, choice))) : null;
  return element("section", {},
    element("div", { class: "line" }, element("h2", {}, "Question"), outcomeChip(example.outcome)),
    element("blockquote", { id: "question" }, example.question), choices,
    element("div", { class: "answers" },
      element("div", {}, element("span", {}, "right answer"), element("b", {}, example.gold)),
      answer("plain model", plain, "no verdict"),
      answer(best && best.path === plain?.path ? "best path: the plain one" : `best path${best ? `, ${best.num_layers} of ${example.num_layers} layers` : ""}`, best, "no path is right")),
    element("p", { class: "quiet" }, [`id ${example.id}`, `${example.task}, ${example.split} split`, example.difficulty && `difficulty ${example.difficulty}`, `from ${example.source}`, `stopped: ${example.stop_reason}`].filter(Boolean).join(" · ")));
}

function treeSection(example) {
  const dot = (kind, words) => element("span", {}, element("i", { class: `dot ${kind}` }), words);
  const title = example.graph?.is_search_tree ? "Search tree" : "Graph of edits";
  return element("section", {},
    element("div", { class: "line" }, element("h2", { id: "graph-title" }, title), element("span", { class: "quiet" }, plural(example.paths.length, "path"))),
    element("p", { class: "quiet", id: "graph-note" }, example.graph ? example.graph.note : "No path was tried."),
    element("div", { class: "legend" }, dot("right-path", "right"), dot("wrong-path", "wrong"), dot("best-path", "best path"), example.paths.some((path) => path.failure) ? dot("failed-path", "failed") : null),
    element("div", { class: "tree plot" }, element("div", { id: "tree" })));
}

function pathsSection(example) {
  const visits = new Map((example.graph?.nodes ?? []).map((node) => [node.path, node]));
  const isTree = Boolean(example.graph?.is_search_tree);
  const rows = example.paths.map((path, index) => {
    const node = visits.get(path.path);
    const row = element("tr", { "data-path": index, tabindex: 0 },
      element("td", { class: "number" }, String(index + 1)),
      element("td", { class: "way" }, element("span", { class: "path" }, path.path)),
      element("td", { class: "number" }, count(path.num_layers)),
      isTree ? element("td", { class: "number" }, count(node?.num_visits)) : null,
      element("td", { class: "number" }, path.failure ? NONE : decimal(path.reward)),
      element("td", { class: "number" }, path.margin === null || path.margin === undefined ? NONE : path.margin.toFixed(2).replace("-", "−")),
      element("td", { class: "text" }, element("span", { class: `clamp ${graded(path)}` }, path.failure ?? (path.output || "(empty)"))));
    row.addEventListener("click", () => select(index));
    row.addEventListener("keydown", (event) => { if (event.key === "Enter") select(index); });
    return row;
  });
  const head = ["#", "path", "layers", isTree ? "visits" : null, "reward", "margin, nats", "answer"].filter(Boolean);
  return element("section", {}, element("h2", {}, "Paths in the order in which they were tried"),
    element("p", { class: "quiet" }, example.notation),
    element("div", { class: "scroll" }, element("table", { class: "paths", id: "paths" },
      element("thead", {}, element("tr", {}, head.map((name) => element("th", { class: ["path", "answer"].includes(name) ? null : "number" }, name)))),
      element("tbody", {}, rows))));
}

function select(index) {
  selected = index;
  for (const row of document.querySelectorAll("#paths tbody tr")) row.classList.toggle("selected", Number(row.dataset.path) === index);
  const path = shown.paths[index];
  if (!path) return fill(byId("selected"), element("p", { class: "quiet" }, "No path was tried."));
  const node = (shown.graph?.nodes ?? []).find((item) => item.path === path.path);
  const facts = [
    ["layers", `${path.num_layers} of ${shown.num_layers}`],
    ["reward", path.failure ? NONE : decimal(path.reward)],
    ["margin", path.margin === null || path.margin === undefined ? NONE : `${path.margin.toFixed(3).replace("-", "−")} nats`],
    ["visits", node?.num_visits === null || node === undefined ? null : count(node.num_visits)],
    ["mean reward of its visits", node?.mean_reward === null || node === undefined ? null : node.mean_reward.toFixed(2)],
    ...proofs(path.evidence),
    ["tried as number", `${index + 1} of ${shown.paths.length}`],
  ].filter(([, value]) => value !== null);
  const kind = path.is_unproven ? "right here, not credible" : path.best_rank === 0 ? "best path" : path.best_rank ? `right path number ${path.best_rank + 1}` : path.on_front ? "on the Pareto front" : "path";
  fill(byId("selected"),
    element("div", { class: "line" }, element("h2", {}, path.path === `0-${shown.num_layers - 1}` ? "Plain path" : kind[0].toUpperCase() + kind.slice(1))),
    strip(path),
    path.keeps_order ? null : element("p", { class: "quiet" }, "This path re-orders layers; the strip shows how often each runs."),
    element("div", { class: "legend" }, element("span", {}, element("i", { class: "skip" }), "skipped"), element("span", {}, element("i"), "run once"), element("span", {}, element("i", { class: "repeat" }), "repeated")),
    element("p", { id: "selected-edits" }, edits(path)),
    element("p", { class: "path quiet", id: "selected-path" }, path.path),
    element("table", { class: "facts" }, element("tbody", {}, facts.map(([name, value]) => element("tr", {}, element("td", {}, name), element("td", {}, value))))),
    element("p", { class: "quiet" }, path.failure ? "why it has no verdict" : "answer"),
    element("blockquote", { id: "selected-output", class: graded(path) }, path.failure ?? (path.output || "(empty)")));
  return markSelected();
}

function strip(path) {
  return element("div", { class: "strip", role: "img", "aria-label": `layers ${path.path}` }, path.uses.map((uses, layer) =>
    element("i", { class: uses === 0 ? "skip" : uses > 1 ? "repeat" : null, title: `layer ${layer}: ${uses === 0 ? "skipped" : uses === 1 ? "run once" : `run ${uses} times`}` })));
}

// What speaks for a path beside its answer here: how often it is right elsewhere, and how often the plain path is.
function proofs(evidence) {
  if (!evidence) return [];
  const row = (words, [right, plain, number]) => [words, number ? `${count(right)} of ${count(number)} (plain path: ${plain === null ? "not asked" : count(plain)})` : "not tried"];
  return [
    ["credible", evidence.credible ? "yes" : "no"], row("right when put differently", evidence.guide),
    row("right on reserved variants", evidence.verify), row("right on other questions", evidence.probe),
    ["share of these, 95 % interval", interval(evidence.probe_share)],
    ["guesses would be right on", evidence.probe_chance === null ? null : percent(evidence.probe_chance)],
  ];
}

// "skips 3, 4; repeats 7": what the strip shows, in words.
function edits(path) {
  const layers = (wanted) => path.uses.flatMap((uses, layer) => (wanted(uses) ? [layer] : []));
  const skipped = layers((uses) => uses === 0);
  const repeated = layers((uses) => uses > 1);
  return [skipped.length ? `skips ${skipped.join(", ")}` : "", repeated.length ? `repeats ${repeated.join(", ")}` : ""].filter(Boolean).join("; ") || "runs every layer once";
}

// The way from the root to a node along the edges that made the tree.
function trail(nodes, index) {
  const way = new Set();
  for (let at = index; at !== null && at >= 0; at = nodes[at].parent) way.add(at);
  return way;
}

function drawTree() {
  const { graph, paths } = shown;
  const target = byId("tree");
  if (!graph) return;
  const { nodes } = graph;
  // The first of equal paths: one with a verdict may have failed as well, on a perturbation.
  const index = new Map(paths.map((path, number) => [path.path, number]).reverse());
  const verdict = nodes.map((node) => paths[index.get(node.path)]);
  const bestNode = nodes.findIndex((_, number) => verdict[number]?.best_rank === 0);
  const best = trail(nodes, bestNode);
  const lines = (edges, style, name) => {
    const trace = { type: "scatter", mode: "lines", x: [], y: [], hoverinfo: "skip", line: style, name, showlegend: false };
    for (const [from, to] of edges) {
      trace.x.push(nodes[from].depth, nodes[to].depth, null);
      trace.y.push(nodes[from].row, nodes[to].row, null);
    }
    return trace;
  };
  const isMain = ([from, to]) => nodes[to].parent === from;
  const onBest = (edge) => isMain(edge) && best.has(edge[1]);
  const sizes = nodes.map((node) => 9 + 3.2 * Math.sqrt(Math.min(node.num_visits ?? 1, 60)));
  const fills = nodes.map((_, number) => colour(verdict[number]?.failure ? "panel" : verdict[number]?.reward >= 1 ? "good" : "execute"));
  const rings = nodes.map((_, number) => (verdict[number]?.failure ? colour("bad") : number === bestNode ? colour("found") : colour("panel")));
  const deepest = Math.max(...nodes.map((node) => node.depth));
  const rows = Math.max(...nodes.map((node) => node.row)) + 1;
  const figure = layout(Math.max(230, 70 + ROW_PX * rows), "edits from the plain path", "", { showlegend: false, hovermode: "closest", margin: { l: 14, r: 14, t: 10, b: 10 } });
  const width = Math.max(target.parentElement.clientWidth - 4, 60 + DEPTH_PX * deepest * 0.75);
  Object.assign(figure, { width, autosize: false });
  Object.assign(figure.xaxis, { dtick: 1, tickformat: "d", range: [-0.3, deepest + 0.3], showgrid: false });
  Object.assign(figure.yaxis, { visible: false, range: [rows - 0.3, -0.7] });
  const traces = [
    lines(graph.edges.filter((edge) => !isMain(edge)), { color: colour("quiet"), width: 1, dash: "dot" }, "other orders"),
    lines(graph.edges.filter((edge) => isMain(edge) && !onBest(edge)), { color: colour("edge"), width: 1.6 }, "edits"),
    lines(graph.edges.filter(onBest), { color: colour("found"), width: 3 }, "best"),
    {
      type: "scatter", mode: "markers", x: nodes.map((node) => node.depth), y: nodes.map((node) => node.row), name: "paths", cliponaxis: false,
      marker: { size: sizes, color: fills, opacity: 1, line: { color: rings, width: nodes.map((_, number) => (number === bestNode || verdict[number]?.failure ? 3 : 1)) } },
      customdata: nodes.map((node, number) => [node.path, `${verdict[number].num_layers} layers`, verdict[number].failure ? "failed" : `reward ${decimal(verdict[number].reward)}`, node.num_visits === null ? "" : `, ${plural(node.num_visits, "visit")}, mean ${(node.mean_reward ?? 0).toFixed(2)}`]),
      hovertemplate: "%{customdata[0]}<br>%{customdata[1]}, %{customdata[2]}%{customdata[3]}<extra></extra>",
    },
    { type: "scatter", mode: "markers", x: [], y: [], hoverinfo: "skip", marker: { symbol: "circle-open", size: [], color: colour("accent"), line: { width: 2.5, color: colour("accent") } } },
  ];
  Plotly.react(target, traces, figure, { ...CONFIG, responsive: false }).then(() => {
    if (!target.dataset.listens) {
      target.dataset.listens = "yes";
      target.on("plotly_click", ({ points }) => {
        const point = points.find((item) => item.curveNumber === 3);
        if (point) select(shown.paths.findIndex((path) => path.path === shown.graph.nodes[point.pointNumber].path));
      });
    }
    markSelected();
  });
}

function markSelected() {
  const target = byId("tree");
  if (!target?.classList.contains("js-plotly-plot") || !shown.graph || target.data === undefined) return;
  const number = shown.graph.nodes.findIndex((node) => node.path === shown.paths[selected]?.path);
  if (number < 0) return;
  const node = shown.graph.nodes[number];
  const size = target.data[3].marker.size[number] + 9;
  Plotly.restyle(target, { x: [[node.depth]], y: [[node.row]], "marker.size": [[size]] }, [4]).then(() => {
    const frame = target.parentElement.getBoundingClientRect();
    const ring = [...target.querySelectorAll(".point")].at(-1).getBoundingClientRect();
    if (ring.top < frame.top || ring.bottom > frame.bottom) target.parentElement.scrollTop += (ring.top + ring.bottom - frame.top - frame.bottom) / 2;
    if (ring.left < frame.left || ring.right > frame.right) target.parentElement.scrollLeft += (ring.left + ring.right - frame.left - frame.right) / 2;
  });
}
