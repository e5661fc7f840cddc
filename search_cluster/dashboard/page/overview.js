// The overview of a run: progress, costs, plots, sessions, provenance.

import { drawDevice, drawDone, drawLayers, drawLengths, drawRate, drawUsed } from "./charts.js";
import { byId, element, factRows, fill, forget, show, whenChanged } from "./dom.js";
import { bytes, count, decimal, duration, interval, moment, NONE, percent, plural, rate } from "./format.js";
import { onThemeChange } from "./theme.js";

const STATES = {
  starting: ["starting", ""], running: ["running", "good"], silent: ["no sign of life", "bad"], finished: ["finished", "good"],
};
let latest = null;

export function showHeader(run) {
  const provenance = run.run.provenance;
  const found = provenance ? `Layer paths of ${run.run.model} on ${provenance.task}` : `Run ${run.run.name}`;
  const title = run.scan ? run.scan.title : run.depth?.is_all ? run.depth.title : found;
  byId("title").textContent = title;
  document.title = title;
  byId("subtitle").textContent = [
    (provenance || run.scan || run.depth?.is_all) && `run ${run.run.name}`,
    run.scan && `seed ${run.scan.seed}`,
    provenance && `${provenance.split} split`, provenance && `preset ${provenance.preset}`, provenance && `seed ${provenance.seed}`,
    run.run.started_at && `since ${moment(run.run.started_at)}`,
  ].filter(Boolean).join(" · ");
  const [words, kind] = STATES[run.run.state];
  byId("state").className = `chip ${kind}`;
  show(byId("state"), words);
}

export function showRun(run) {
  latest = run;
  showHeader(run);
  whenChanged("run:screen", run.screen ?? [], (lines) => fill(byId("run-lines"), lines.flatMap((line) => [element("dt", {}, line.topic), element("dd", {}, line.text)])));
  show(byId("notation"), run.run.notation);
  whenChanged("run:problems", [...run.problems, ...(run.costs.starved ? [run.costs.starved] : [])], (problems) => fill(byId("problems"), problems.map((text) => element("p", { class: "banner bad" }, text))));
  showProgress(run);
  showCards(run);
  showFacts(run);
  whenChanged("run:sessions", run.sessions, showSessions);
  if (!run.scan) whenChanged("run:provenance", run.run.depends_on, showProvenance);
  drawPlots();
}

function drawPlots() {
  if (latest === null || byId("overview").hidden) return;
  const { history, found } = latest;
  whenChanged("plot:history", history, () => {
    drawRate(byId("plot-rate"), history);
    drawDevice(byId("plot-device"), history);
    drawUsed(byId("plot-used"), history);
    if (!latest.scan) drawDone(byId("plot-done"), history);
  });
  if (latest.scan) return;
  whenChanged("plot:lengths", { lengths: found.best_lengths, numLayers: found.num_layers }, (value) => drawLengths(byId("plot-lengths"), value));
  whenChanged("plot:layers", found.layers[byId("layers-of").value], (value) => drawLayers(byId("plot-layers"), value));
}

export function startOverview() {
  byId("layers-of").addEventListener("change", drawPlots);
  onThemeChange(() => { forget("plot:"); drawPlots(); });
}

function showProgress({ run, progress, costs, scan }) {
  const [noun, whole] = scan ? ["verdict", "scan"] : ["question", "corpus"];
  const { examples_done: done, examples_total: total, examples_written: written } = progress;
  byId("progress-count").textContent = total ? `${count(done)} of ${plural(total, noun)}` : plural(done, noun);
  const finished = run.state === "finished"; // a scan may end before all that it planned
  const share = finished ? 1 : total ? done / total : 0;
  byId("progress-bar").style.width = `${100 * share}%`;
  byId("progress-bar").classList.toggle("done", finished);
  const left = progress.seconds_left === null ? "" : `, about ${duration(progress.seconds_left)} left`;
  byId("progress-left").textContent = total && !finished ? `${percent(share)}${left}` : "";
  const notes = {
    starting: "It has started; its first numbers come when its workers are ready.",
    running: progress.study_budget ? `Other questions are studied first, ${count(costs.paths_searched)} of at most ${plural(progress.study_budget, "path")}; then these are searched.` : !scan && written < done ? `${count(written)} questions are in shards; the plots below show these.` : "",
    silent: `Nothing was written for ${duration(run.last_sign_s)}: it was stopped, or it is stuck. Running the same command again resumes it.`,
    finished: `The ${whole} is complete.`,
  };
  show(byId("progress-note"), notes[run.state]);
}

function showCards({ costs, found, scan }) {
  const now = costs.now;
  const cards = [
    [found.found ? `${count(100 * found.identity.share)} → ${count(100 * found.found.share)} %` : NONE, "right: plain model → some path found"],
    [found.mean_layers_saved === null ? NONE : `${decimal(found.mean_layers_saved)} of ${found.num_layers}`, "layers saved by right best paths, mean"],
    [count(costs.paths_per_device_hour), "paths searched per device-hour"],
    now ? [rate(now.searched_per_s), "paths a second, now"] : [count(costs.paths_searched), "paths searched"],
    [percent(costs.cache_hit_rate), "answered by the cache"],
    usedCard(costs),
  ];
  if (scan) cards.splice(0, 2);
  if (costs.cost_text) cards.push([costs.cost_text.split(" (")[0], "cost"]);
  whenChanged("run:cards", cards, () => fill(byId("cards"), cards.map(([value, label]) => element("div", { class: "card" }, element("b", {}, value), element("span", {}, label)))));
}

// A worker that always has requests may still leave its device with next to nothing to compute: where the share of
// a plain product's speed is known, it is shown in the place of the time with requests.
function usedCard({ now, peak_share: peak, busy_share: busy }) {
  const share = now?.peak_share ?? peak;
  if (share !== null) return [percent(share), now ? "of a plain product's arithmetic, now" : "of a plain product's arithmetic"];
  return [percent(now?.busy_share ?? busy), now ? "of the time workers have requests, now" : "of the time workers had requests"];
}

const named = (counts) => Object.entries(counts).sort((a, b) => b[1] - a[1]).map(([name, number]) => `${name} ${count(number)}`).join(", ");

function showFacts({ costs, found }) {
  factRows(byId("costs"), [
    ["paths searched", count(costs.paths_searched)],
    ["evaluated on a device", count(costs.paths_evaluated)],
    ["answered by the cache", `${count(costs.cache_hits)} (${percent(costs.cache_hit_rate)})`],
    ["cache errors", count(costs.cache_errors)],
    ["paths without a verdict", count(costs.failures)],
    ["why there was none", named(found.failure_kinds)],
    ["worker restarts", count(costs.worker_restarts)],
    ["workers", count(costs.workers)],
    ["device time held", duration(costs.device_seconds)],
    ["of it workers had requests", percent(costs.busy_share)],
    ["of a plain product's arithmetic", costs.peak_share === null ? null : percent(costs.peak_share)],
    ["layer rows a second and device", costs.rows_per_device_second ? count(costs.rows_per_device_second) : null],
    ["of the busy time, verdicts computed again", costs.recheck_share ? percent(costs.recheck_share) : null],
    ["cost", costs.cost_text],
  ]);
  whenChanged("run:devices", costs.devices, showDevices);
  factRows(byId("found"), [
    ["questions searched", count(found.examples)],
    ["plain model is right", interval(found.identity)],
    ["some path found is right", interval(found.found)],
    ["layers of the best path, mean", found.mean_best_length === null ? null : `${decimal(found.mean_best_length)} of ${found.num_layers}`],
    ["wrong answers fixed", count(found.outcomes.fixed ?? 0)],
    ["right answers with fewer layers", count(found.outcomes.shorter ?? 0)],
    ["plain path kept", count(found.outcomes.kept ?? 0)],
    ["no path is right", count(found.outcomes.unsolved ?? 0)],
    ["nothing searched: the plain model failed", found.outcomes.failed ? count(found.outcomes.failed) : null],
    ["why searches stopped", named(found.stop_reasons)],
  ]);
}

function showDevices(devices) {
  byId("devices-section").hidden = !devices.length;
  const number = (text) => element("td", { class: "number" }, text);
  fill(byId("devices"), devices.map((item) => element("tr", {},
    element("td", {}, `${item.worker} on ${item.node}`), element("td", {}, item.name || item.device),
    number(count(item.rows_per_second)), number(percent(item.peak_share)), number(percent(item.busy_share)), number(percent(item.utilisation)),
    number(percent(item.recheck_share)), number(item.memory_bytes ? `${bytes(item.memory_bytes)} of ${bytes(item.memory_limit_bytes)}` : NONE))));
}

function showSessions(sessions) {
  const number = (text) => element("td", { class: "number" }, text);
  fill(byId("sessions"), sessions.toReversed().map((session) => element("tr", {},
    element("td", {}, moment(session.started_at)), number(duration(session.elapsed_seconds)), number(count(session.workers)),
    number(count(session.paths_searched)), number(count(session.paths_evaluated)), number(count(session.cache_hits)), number(count(session.failures)),
    number((session.device_seconds / 3600).toFixed(3)), number(percent(session.device_seconds ? session.device_busy_seconds / session.device_seconds : null)),
    number(percent(session.available_flops ? session.computed_flops / session.available_flops : null)),
    number(count(session.paths_per_device_hour)))));
  if (!sessions.length) fill(byId("sessions"), element("tr", {}, element("td", { class: "quiet", colspan: 11 }, "none yet")));
}

function showProvenance(rows) {
  const known = rows.map(([name, value]) => [name.replaceAll("_", " "), value]);
  return factRows(byId("provenance"), rows.length ? known : [["known", "with the first shard"]]);
}
