/** One job, live: how far it is, what came of it, what it could not use. */
import { useState } from "preact/hooks";
import { call } from "../api/client.js";
import { hasEnded, useJob } from "../api/events.js";
import { duration, plural, time } from "../format.js";
import { html } from "../html.js";
import { Confirm } from "../parts/confirm.js";
import { Icon } from "../parts/icon.js";
import { Failure, Loading } from "../parts/states.js";
import { toastProblem } from "../parts/toasts.js";
import { go, href } from "../route.js";
import { Files } from "./files.js";
import { kindOf, titleOf } from "./kinds.js";
import { Parameters } from "./parameters.js";
import { Progress, progressText, StateChip } from "../parts/job_progress.js";
import { Rejections } from "./rejections.js";
import { Report } from "./report.js";

export function JobPage({ id }) {
  const { job, problem, broken, setJob } = useJob(id);
  const back = html`<a class="button plain" href="#/jobs"><${Icon} name="left" size="16" />All jobs</a>`;
  if (!job) {
    return html`
      <div class="view-head"><h1>Job</h1>${back}</div>
      ${problem ? html`<${Failure} problem=${problem} />` : html`<${Loading} text="Loading the job" />`}
    `;
  }
  const title = titleOf(job);
  return html`
    <div class="view-head">
      <div class="row"><h1>${title}</h1><${StateChip} job=${job} /></div>
      <div class="row"><${Actions} job=${job} onChange=${setJob} />${back}</div>
    </div>
    <section class="card padded stack tight" aria-label="Progress">
      ${!hasEnded(job) && html`<${Progress} job=${job} label=${title} />`}
      <p class="row spread figures">
        <span role="status">${progressText(job)}</span>
        ${job.rejected > 0 && html`<span class="chip warn">${plural(job.rejected, "rejected", "rejected")}</span>`}
      </p>
      ${job.error && html`<p class="note bad" role="alert"><${Icon} name="warning" />${job.error}</p>`}
      ${broken && html`<p class="small soft"
        role="status">The connection broke off; what is shown may be a little old.</p>`}
      <p class="small faint figures">${times(job)}</p>
    </section>
    <${Report} job=${job} />
    <${Files} files=${job.report?.files ?? []} />
    ${job.rejected > 0 && html`<${Rejections} job=${job} />`}
    <${Parameters} job=${job} />
  `;
}

function Actions({ job, onChange }) {
  const [asks, setAsks] = useState(false);
  const [isStarting, setStarting] = useState(false);
  const { title } = kindOf(job.kind);
  const cancel = async () => {
    const running = await call(`jobs/${job.id}`, { method: "DELETE" });
    onChange(running ?? { ...job, state: "cancelled" });
  };
  const again = async () => {
    setStarting(true);
    try {
      const next = await call("jobs", { method: "POST", json: { kind: job.kind, ...job.parameters } });
      go(href("jobs", next.id));
    } catch (problem) {
      setStarting(false);
      toastProblem(problem);
    }
  };
  if (hasEnded(job)) {
    return html`
      <button class="button" disabled=${isStarting} onClick=${again}>
        <${Icon} name="turn" size="16" />Start again
      </button>
    `;
  }
  return html`
    <button class="button danger" disabled=${job.cancelling} onClick=${() => setAsks(true)}>Cancel the job</button>
    ${asks && html`
      <${Confirm} title=${`Cancel this job?`} action="Cancel the job" danger onConfirm=${cancel}
        onClose=${() => setAsks(false)}>
        <p>${title} stops after the step it is at. What it has done so far stays.</p>
      <//>
    `}
  `;
}

function times({ created_at, started_at, finished_at }) {
  if (!started_at && finished_at) return `Cancelled ${time(finished_at)}, before it began`;
  if (!started_at) return `Created ${time(created_at)}`;
  if (!finished_at) return `Started ${time(started_at)}`;
  const seconds = (new Date(finished_at) - new Date(started_at)) / 1000;
  return `Started ${time(started_at)}, ended ${time(finished_at)}, took ${duration(seconds)}`;
}
