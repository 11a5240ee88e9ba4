/** The jobs that propose groups, the newest first, and the form that starts one. */
import { useState } from "preact/hooks";
import { call } from "../api/client.js";
import { hasEnded } from "../api/events.js";
import { useEvery } from "../api/every.js";
import { useResource } from "../api/resource.js";
import { distance, plural, time } from "../format.js";
import { html } from "../html.js";
import { Icon } from "../parts/icon.js";
import { Progress, progressText, StateChip } from "../parts/job_progress.js";
import { Loaded } from "../parts/loaded.js";
import { Pager, usePages } from "../parts/pager.js";
import { Empty } from "../parts/states.js";
import { go, href } from "../route.js";
import { NewGrouping } from "./new_grouping.js";

const PAGE = 20;
const BUSY_MS = 1_500;
const CALM_MS = 15_000;

export function GroupJobs() {
  const [isStarting, setStarting] = useState(false);
  const pages = usePages([]);
  const page = useResource(
    (signal) => call("jobs", { query: { kind: "group", limit: PAGE, cursor: pages.cursor }, signal }),
    [pages.cursor],
  );
  const isBusy = page.data?.jobs.some((job) => !hasEnded(job));
  useEvery(page.problem ? null : isBusy ? BUSY_MS : CALM_MS, page.reload);
  return html`
    <div class="view-head">
      <h1>Groups</h1>
      <button class="button primary" onClick=${() => setStarting(true)}><${Icon} name="plus" />Propose groups</button>
    </div>
    <p class="soft groups-lead">
      Records that probably show the same vehicle, proposed by their distances. You look at each group and give its
      records an identity, or refuse it. Nothing is changed before you do.
    </p>
    <${Loaded} resource=${page}>
      ${({ jobs, next_cursor, total }) => html`
        ${jobs.length ? html`<${Jobs} jobs=${jobs} />` : html`<${NoJobs} />`}
        <${Pager} pages=${pages} nextCursor=${next_cursor} total=${total} size=${PAGE} />
      `}
    <//>
    ${isStarting && html`
      <${NewGrouping} onClose=${() => setStarting(false)} onStarted=${(job) => go(href("groups", job.id))} />
    `}
  `;
}

const NoJobs = () => html`
  <${Empty} icon="group" title="No groups were proposed yet">
    A proposal looks at all records, or those that pass your conditions, and takes from seconds to minutes.
  <//>
`;

const Jobs = ({ jobs }) => html`
  <ul class="card group-jobs">${jobs.map((job) => html`<${Row} key=${job.id} job=${job} />`)}</ul>
`;

function Row({ job }) {
  const { report, state } = job;
  const upTo = report?.max_distance ? ` · up to a distance of ${distance(report.max_distance)}` : "";
  return html`
    <li>
      <a class="group-job" href=${href("groups", job.id)}>
        <span>
          <strong>${conditionsText(job.parameters.records)}</strong>
          <span class="small soft figures">${time(job.created_at)}${upTo}</span>
        </span>
        ${state === "done" ? html`<span class="figures">${plural(report.proposed, "group")} proposed</span>` : html`
          <span class="stack tight">
            <${Progress} job=${job} label="How far the proposal is" />
            <span class="small soft figures">${job.error ?? progressText(job)}</span>
          </span>
        `}
        <${StateChip} job=${job} />
        <${Icon} name="right" size="16" />
      </a>
    </li>
  `;
}

/** Which records a job is about, such as "camera gate, tag night". */
export function conditionsText(records = {}) {
  const given = Object.entries(records).filter(([, value]) => (Array.isArray(value) ? value.length : value !== null));
  if (!given.length) return "All records";
  return given.map(([name, value]) => `${name.replace("_", " ")} ${valueText(name, value)}`).join(", ");
}

function valueText(name, value) {
  if (name.startsWith("captured")) return time(value);
  return [value].flat().join(name === "camera" || name === "id" ? " or " : " and ");
}
