/** How far a job is that was started here, with a link to all of it. */
import { hasEnded } from "../api/events.js";
import { html } from "../html.js";
import { Icon } from "../parts/icon.js";
import { Progress, progressText, StateChip } from "../parts/job_progress.js";
import { href } from "../route.js";

export function JobNote({ job }) {
  return html`
    <div class="stack tight quality-job">
      ${!hasEnded(job) && html`<${Progress} job=${job} label="Progress" />`}
      <p class="row small figures">
        <${StateChip} job=${job} />
        <span role="status">${progressText(job)}</span>
        <a href=${href("jobs", job.id)}>See the job</a>
      </p>
      ${job.error && html`<p class="note bad" role="alert"><${Icon} name="warning" />${job.error}</p>`}
    </div>
  `;
}
