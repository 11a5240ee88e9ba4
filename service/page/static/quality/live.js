/** Health and throughput, as they are now: tiles with the last five minutes, and the time that each stage takes. */
import { bytes, count, percent } from "../format.js";
import { html } from "../html.js";
import { Failure, Loading } from "../parts/states.js";
import { rate, rates, recentMean, recentQuantile, useLiveMetrics, values } from "./live_metrics.js";
import { Sparkline } from "./sparkline.js";
import { total } from "./prometheus_text.js";

const STAGES = [
  ["query", "decode", "Query: read the image"],
  ["query", "embed", "Query: turn and embed"],
  ["query", "search", "Query: search"],
  ["enrolment", "decode", "Enrolment: read the image"],
  ["enrolment", "embed", "Enrolment: turn and embed"],
  ["enrolment", "store", "Enrolment: store"],
];
const COLUMNS = ["Half took up to", "95 % took up to", "Per second"];
const DURATION = "sanet_stage_duration_seconds";

/** What people and programs ask; the page's own files and looks at the state are left out. */
const isWork = ({ route }) => !["/metrics", "/readyz", "/healthz", "/", "/page/{path:path}"].includes(route);

export function Live() {
  const { history, problem } = useLiveMetrics();
  return html`
    <section class="card padded stack" aria-labelledby="live-title">
      <div class="row spread">
        <h2 id="live-title">Service now</h2>
        <span class="small faint">Every 5 seconds, while this page is looked at</span>
      </div>
      ${problem && !history.length && html`<${Failure} problem=${problem} />`}
      ${!problem && !history.length && html`<${Loading} text="Reading the state" />`}
      ${history.length > 0 && html`<${Tiles} history=${history} /><${Stages} history=${history} />`}
    </section>
  `;
}

function Tiles({ history }) {
  const { series } = history.at(-1);
  const requests = "sanet_http_requests_total";
  const device = "sanet_embedding_device_seconds_total";
  const images = "sanet_embedding_batch_images";
  const admitted = total(series, "sanet_embedding_admitted_images");
  const waiting = total(series, "sanet_embedding_waiting_images") + total(series, "sanet_embedding_waiting_batches");
  const batch = recentMean(history, images, {});
  const [free, disk] = [total(series, "sanet_disk_free_bytes"), total(series, "sanet_disk_bytes")];
  const records = total(series, "sanet_gallery_records", { state: "searchable" });
  const others = total(series, "sanet_gallery_records") - records;
  const running = total(series, "sanet_jobs", { state: "running" });
  const queued = total(series, "sanet_jobs", { state: "queued" });
  return html`
    <dl class="live-tiles">
      <${Tile} name="Requests" value=${perSecond(rate(history, requests, isWork))} unit="per second"
        line=${rates(history, requests, isWork)} />
      <${Tile} name="Vehicles embedded" value=${perSecond(rate(history, `${images}_sum`))} unit="per second"
        line=${rates(history, `${images}_sum`)}
        note=${batch === null ? "" : `${batch.toFixed(1)} at once on average`} />
      <${Tile} name="Device busy" value=${share(rate(history, device))} line=${rates(history, device)} most=${1}
        note=${total(series, "sanet_device_failing") ? "The device fails" : ""} />
      <${Tile} name="Under way" value=${count(admitted)} unit=${admitted === 1 ? "vehicle" : "vehicles"}
        note=${`${count(waiting)} waiting`} line=${values(history, "sanet_embedding_admitted_images")} />
      <${Tile} name="Records" value=${count(records)}
        note=${others ? `${count(others)} cannot be searched` : "all can be searched"} />
      <${Tile} name="Jobs" value=${count(running)} unit="running" note=${`${count(queued)} waiting`} />
      <${Tile} name="Disk" value=${bytes(free)} unit="free"
        note=${`of ${bytes(disk)}; ${bytes(total(series, "sanet_data_bytes"))} are the gallery's`} />
    </dl>
  `;
}

function Tile({ name, value, unit = "", note = "", line, most }) {
  return html`
    <div class="live-tile">
      <dt>${name}</dt>
      <dd class="figures"><strong>${value}</strong> <span class="small soft">${unit}</span></dd>
      ${line && html`<dd><${Sparkline} values=${line} most=${most} /></dd>`}
      ${note && html`<dd class="small faint figures">${note}</dd>`}
    </div>
  `;
}

function Stages({ history }) {
  const rows = STAGES.map(([operation, stage, title]) => {
    const where = { operation, stage };
    const at = (part) => recentQuantile(history, part, DURATION, where);
    return { title, half: at(0.5), most: at(0.95), often: rate(history, `${DURATION}_count`, where) };
  }).filter(({ half }) => half !== null);
  if (!rows.length) return html`<p class="small soft">No query and no enrolment came in the last minute.</p>`;
  return html`
    <table class="figures stacked-table">
      <thead><tr><th scope="col">In the last minute</th>${COLUMNS.map((title) => html`<th scope="col"
        key=${title}>${title}</th>`)}</tr></thead>
      <tbody>
        ${rows.map(({ title, half, most, often }) => {
          const cells = [milliseconds(half), milliseconds(most), perSecond(often)];
          return html`
            <tr key=${title}>
              <th scope="row">${title}</th>
              ${cells.map((cell, index) => html`<td key=${index} data-label=${COLUMNS[index]}>${cell}</td>`)}
            </tr>
          `;
        })}
      </tbody>
    </table>
  `;
}

const perSecond = (value) => (value === null ? "…" : value < 10 ? value.toFixed(1) : count(Math.round(value)));
const share = (value) => (value === null ? "…" : percent(Math.min(1, value), 0));

function milliseconds(seconds) {
  if (seconds < 0.0995) return `${(1000 * seconds).toFixed(1)} ms`;
  return seconds < 1 ? `${Math.round(1000 * seconds)} ms` : `${seconds.toFixed(1)} s`;
}
