/** How far a job is: its state in words, and a bar. */
import { hasEnded } from "../api/events.js";
import { count, duration, plural } from "../format.js";
import { html } from "../html.js";

/** What each kind counts. */
const UNITS = {
  import: "vehicle",
  match: "vehicle",
  group: "record",
  calibrate: "record",
  reembed: "record",
  evaluate: "image",
};

export const STATES = {
  queued: ["", "Waiting"],
  running: ["accent", "Running"],
  done: ["good", "Done"],
  failed: ["bad", "Failed"],
  cancelled: ["warn", "Cancelled"],
};

export function StateChip({ job }) {
  const [tone, text] = job.cancelling && !hasEnded(job) ? ["warn", "Stopping"] : (STATES[job.state] ?? ["", job.state]);
  return html`<span class=${`chip ${tone}`}>${text}</span>`;
}

export function Progress({ job, label }) {
  const share = shareOf(job);
  const tone = { done: "good", failed: "bad" }[job.state] ?? "";
  return html`
    <div class=${`progress ${tone}`} role="progressbar" aria-label=${label} aria-valuemin="0" aria-valuemax="100"
      aria-valuenow=${share === null ? null : Math.round(100 * share)} aria-valuetext=${progressText(job)}>
      <div style=${{ "--share": `${100 * (share ?? 0)}%` }}></div>
    </div>
  `;
}

function shareOf(job) {
  if (job.state === "done") return 1;
  return job.total ? Math.min(1, job.done / job.total) : null;
}

/** "120 of 450 images · 42 per second · 8 s left". */
export function progressText(job) {
  if (job.state === "queued") return "Waits for those before it";
  const parts = [doneText(job, UNITS[job.kind] ?? "item")];
  if (job.state === "running") {
    if (job.rate_per_s) parts.push(`${rate(job.rate_per_s)} per second`);
    if (job.remaining_s !== null) parts.push(`${duration(job.remaining_s)} left`);
  }
  return parts.join(" · ");
}

function doneText({ done, total, state }, unit) {
  if (total === null) return state === "running" ? "Counting" : plural(done, unit);
  return done === total ? plural(total, unit) : `${count(done)} of ${plural(total, unit)}`;
}

const rate = (value) => (value < 10 ? value.toFixed(1) : count(Math.round(value)));
