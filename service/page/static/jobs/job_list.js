/** All jobs, the newest first. */
import { call } from "../api/client.js";
import { hasEnded } from "../api/events.js";
import { useEvery } from "../api/every.js";
import { useResource } from "../api/resource.js";
import { plural, time } from "../format.js";
import { html } from "../html.js";
import { Icon } from "../parts/icon.js";
import { Pager, usePages } from "../parts/pager.js";
import { Empty, Failure, Loading } from "../parts/states.js";
import { go, href } from "../route.js";
import { KINDS, titleOf } from "./kinds.js";
import { Progress, progressText, STATES, StateChip } from "../parts/job_progress.js";

const PAGE_SIZE = 20;
const BUSY_MS = 1_500;
const CALM_MS = 10_000;

export function JobList({ query }) {
  const conditions = { state: query.state?.[0] ?? "", kind: query.kind?.[0] ?? "" };
  const dependencies = [conditions.state, conditions.kind];
  const pages = usePages(dependencies);
  const { data, problem, reload } = useResource(
    (signal) => call("jobs", { query: { ...conditions, limit: PAGE_SIZE, cursor: pages.cursor }, signal }),
    [...dependencies, pages.cursor],
  );
  const isBusy = data?.jobs.some((job) => !hasEnded(job));
  useEvery(problem ? null : isBusy ? BUSY_MS : CALM_MS, reload);
  return html`
    <div class="view-head">
      <h1>Jobs</h1>
      <a class="button primary" href="#/jobs/new"><${Icon} name="plus" size="16" />Start a job</a>
    </div>
    <div class="row spread">
      <div class="row">
        <${Choice} label="State" name="state" choices=${words(STATES, ([, word]) => word)} conditions=${conditions} />
        <${Choice} label="Kind" name="kind" choices=${words(KINDS, ({ title }) => title)} conditions=${conditions} />
      </div>
      ${data && html`<${Pager} pages=${pages} nextCursor=${data.next_cursor} total=${data.total} size=${PAGE_SIZE} />`}
    </div>
    ${body({ data, problem, reload, isFiltered: conditions.state || conditions.kind })}
  `;
}

function body({ data, problem, reload, isFiltered }) {
  if (problem && (!data || problem.kind !== "offline")) return html`<${Failure} problem=${problem} retry=${reload} />`;
  if (!data) return html`<${Loading} text="Loading jobs" />`;
  if (data.total) return html`<ul class="card job-list">${data.jobs.map((job) => html`<${Row} key=${job.id}
    job=${job} />`)}</ul>`;
  if (isFiltered) return html`<${Empty} icon="filter" title="No such jobs"><a href="#/jobs">Show all jobs</a><//>`;
  return html`
    <${Empty} icon="jobs" title="No job was started yet">
      Jobs do what takes minutes: enrol a whole flight, look for many vehicles at once, group what belongs together,
      measure quality, back up. <a href="#/jobs/new">Start one</a>
    <//>
  `;
}

function Row({ job }) {
  const title = titleOf(job);
  return html`
    <li class="job-row">
      <${StateChip} job=${job} />
      <div class="job-name">
        <a class="truncate" href=${href("jobs", job.id)}>${title}</a>
        <span class="small faint">${time(job.created_at)}</span>
      </div>
      <div class="job-progress">
        ${!hasEnded(job) && html`<${Progress} job=${job} label=${title} />`}
        <span class="small soft figures">${progressText(job)}</span>
      </div>
      <span class="job-rejected small figures">
        ${job.rejected > 0 && html`<a href=${href("jobs", job.id)}>${plural(job.rejected, "rejected", "rejected")}</a>`}
      </span>
    </li>
  `;
}

const words = (names, word) => Object.fromEntries(Object.entries(names).map(([name, one]) => [name, word(one)]));

function Choice({ label, name, choices, conditions }) {
  const change = (event) => go(href("jobs", { ...conditions, [name]: event.target.value }), { replace: true });
  return html`
    <label class="row job-filter">
      <span class="small soft">${label}</span>
      <select class="input" name=${name} value=${conditions[name]} onChange=${change}>
        <option value="">All</option>
        ${Object.entries(choices).map(([value, word]) => html`<option key=${value} value=${value}>${word}</option>`)}
      </select>
    </label>
  `;
}
