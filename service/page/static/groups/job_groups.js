/** One proposal: how far it is while it runs, then its groups to review. */
import { useState } from "preact/hooks";
import { call } from "../api/client.js";
import { hasEnded, useJob } from "../api/events.js";
import { count, distance, plural } from "../format.js";
import { html } from "../html.js";
import { Icon } from "../parts/icon.js";
import { Progress, progressText, StateChip } from "../parts/job_progress.js";
import { Empty, Failure, Loading } from "../parts/states.js";
import { toastProblem } from "../parts/toasts.js";
import { conditionsText } from "./group_jobs.js";
import { Review, STATES } from "./review.js";

export function JobGroups({ id, query }) {
  const { job, problem, broken } = useJob(id);
  if (problem?.status === 404 || (job && job.kind !== "group")) {
    return html`
      <${Head} />
      <${Empty} icon="group" title="There is no such proposal"><a href="#/groups">Show all proposals</a><//>
    `;
  }
  if (problem) return html`<${Head} /><${Failure} problem=${problem} />`;
  if (!job) return html`<${Head} /><${Loading} />`;
  const asked = query.state?.[0];
  return html`
    <${Head} job=${job} />
    ${job.state === "done"
      ? html`<${Done} job=${job} state=${Object.hasOwn(STATES, asked ?? "") ? asked : "proposed"} />`
      : html`<${NotDone} job=${job} broken=${broken} />`}
  `;
}

function Head({ job }) {
  return html`
    <div class="view-head">
      <h1>${job ? `Groups: ${conditionsText(job.parameters.records)}` : "Groups"}</h1>
      <a class="button plain" href="#/groups"><${Icon} name="left" size="16" />All proposals</a>
    </div>
  `;
}

/** A job that runs, waits, or did not come to its end. */
function NotDone({ job, broken }) {
  const [isCancelling, setCancelling] = useState(false);
  const cancel = () => {
    setCancelling(true);
    call(`jobs/${job.id}`, { method: "DELETE" }).catch((problem) => {
      setCancelling(false);
      toastProblem(problem);
    });
  };
  return html`
    <section class="card padded stack" aria-label="Progress">
      <div class="row spread">
        <div class="row">
          <${StateChip} job=${job} /><span class="figures" role="status">${progressText(job)}</span>
        </div>
        ${!hasEnded(job) && html`
          <button class="button" disabled=${isCancelling || job.cancelling} onClick=${cancel}>Cancel</button>
        `}
      </div>
      <${Progress} job=${job} label="How far the proposal is" />
      ${broken && html`<p class="small soft">Its changes do not come at the moment; the job is not affected.</p>`}
      ${job.error && html`<p class="note bad" role="alert"><${Icon} name="warning" />${job.error}</p>`}
      ${job.state === "cancelled" && html`<p class="soft">It was cancelled, so that there are no groups.</p>`}
    </section>
  `;
}

function Done({ job, state }) {
  const { report } = job;
  const figures = [
    ["Records", report.records],
    ["Groups proposed", report.proposed],
    ["In no group", report.alone],
  ].map(([label, number]) => [label, count(number)]);
  figures.push(["Distance up to", distance(report.max_distance)]);
  return html`
    <dl class="totals" aria-label="The proposal">
      ${figures.map(([label, text]) => html`<div key=${label}><dt>${label}</dt><dd class="figures">${text}</dd></div>`)}
    </dl>
    ${report.crowded > 0 && html`
      <p class="small soft">
        ${plural(report.crowded, "record")} had more than 50 others within that distance, of which the nearest were
        looked at: a smaller distance makes surer groups.
      </p>
    `}
    ${report.left_out > 0 && html`
      <p class="small soft">
        ${plural(report.left_out, "record")} could not be looked at: damaged, or not embedded by this model yet.
      </p>
    `}
    <${Review} id=${job.id} state=${state} />
  `;
}
