/** What came of a job, in words and figures: each kind has its own report, and every other one is a list. */
import { hasEnded } from "../api/events.js";
import { count, distance, percent, plural } from "../format.js";
import { html } from "../html.js";
import { Evaluation } from "../parts/evaluation.js";
import { Icon } from "../parts/icon.js";
import { OperatingPoint } from "../parts/operating_point.js";
import { href } from "../route.js";
import { Findings } from "./findings.js";
import { valueText } from "./value_text.js";

export function Report({ job }) {
  if (!job.report) return null;
  const Kind = REPORTS[job.kind] ?? OtherReport;
  return html`
    <section class="card padded stack" aria-label="Report">
      <h2>${hasEnded(job) ? "Report" : "So far"}</h2>
      <${Kind} report=${job.report} job=${job} />
    </section>
  `;
}

function ImportReport({ report, job }) {
  return html`
    <${Findings} figures=${[
      ["Enrolled", report.enrolled],
      ["There already", report.duplicates],
      ["Rejected", job.rejected],
    ]} />
    ${report.differing > 0 && html`
      <${Note}>
        ${plural(report.differing, "vehicle that was", "vehicles that were")} there already came with other fields in
        this manifest; the gallery's fields stayed.
      <//>
    `}
    ${report.columns_not_kept?.length > 0 && html`
      <${Note}>Columns that were not kept: ${report.columns_not_kept.join(", ")}.<//>
    `}
    <${Warnings} texts=${report.data_warnings} />
    <${Warnings} texts=${report.first_warnings} total=${report.warnings} />
    ${hasEnded(job) && report.enrolled > 0 && html`<p><a href="#/gallery">See the gallery</a></p>`}
  `;
}

function MatchReport({ report }) {
  return html`
    <${Findings} figures=${[
      ["Looked for", report.queries],
      ["With matches", report.with_matches],
      ["Without any", report.queries - report.with_matches],
      ["Rejected", report.rejected],
    ]} />
    ${report.rank1_of > 0 && html`
      <p>
        Of ${plural(report.rank1_of, "vehicle")} whose identity is known and in the gallery,
        ${" "}${count(report.rank1_correct)} (${percent(report.rank1_correct / report.rank1_of)}) have it at rank 1.
      </p>
    `}
    <${LeftOut} number=${report.left_out} />
    <${Warnings} texts=${report.data_warnings} />
  `;
}

function GroupReport({ report, job }) {
  return html`
    <${Findings} figures=${[
      ["Groups", report.groups],
      ["To review", report.proposed],
      ["Records", report.records],
      ["In no group", report.alone],
    ]} />
    <p class="soft figures">
      Records of one group lie at a distance of up to ${distance(report.max_distance)} on average.
    </p>
    ${report.crowded > 0 && html`
      <${Note}>${plural(report.crowded, "record has", "records have")} more neighbours than were looked at.<//>
    `}
    <${LeftOut} number=${report.left_out} />
    ${job.state === "done" && report.proposed > 0 && html`
      <p><a class="button primary" href=${href("groups", job.id)}>Review the groups</a></p>
    `}
  `;
}

const EvaluateReport = ({ report }) => html`<${Evaluation} evaluation=${report} />`;

function CalibrateReport({ report }) {
  return html`
    <p class=${report.adopted ? "note good" : "note"}>
      <${Icon} name=${report.adopted ? "check" : "info"} />
      ${report.adopted ? "Answers follow this calibration now." : "It was measured only: answers go on as before."}
    </p>
    <${Findings} figures=${[
      ["Vehicles", report.vehicles],
      ["Records", report.records],
      ["For galleries up to", report.largest_gallery],
    ]} />
    ${report.left_out > 0 && html`
      <${Note}>${plural(report.left_out, "record was", "records were")} left out: more than can take part.<//>
    `}
    <${OperatingPoint} calibration=${report} numRecords=${report.largest_gallery} />
  `;
}

function VerifyReport({ report, job }) {
  return html`
    ${report.sound
      ? html`<p class="note good"><${Icon}
        name="check" />The gallery is sound: everything was read, and nothing is damaged.</p>`
      : html`
          <p class="note bad" role="alert"><${Icon} name="warning" />
            ${plural(job.rejected, "thing is", "things are")} damaged, as listed below. ${report.repair}
          </p>
        `}
    <${Findings} figures=${[
      ["Records read", report.records],
      ["Images read", report.images],
      ["Damaged", job.rejected],
    ]} />
    ${report.stray_images > 0 && html`
      <${Note}>
        ${plural(report.stray_images, "image file belongs", "image files belong")} to no record, which does no harm.
      <//>
    `}
    ${report.num_foreign_files > 0 && html`
      <${Note}>${plural(report.num_foreign_files, "file")} in the data folder: not the service's own.<//>
    `}
  `;
}

function BackupReport({ report }) {
  return html`
    <${Findings} figures=${[
      ["Records", report.records],
      ["Images", report.images],
      ["Copied now", report.copied],
      ["There already", report.kept],
      ["Removed", report.pruned],
    ]} />
    <${Whole} report=${report} what="backup" />
  `;
}

function ExportReport({ report }) {
  return html`
    <${Findings} figures=${[
      ["Records", report.records],
      ["Images", report.images],
      ["Parquet files", Object.keys(report.parquet_files ?? {}).length],
    ]} />
    <${Whole} report=${report} what="export" />
  `;
}

function ReembedReport({ report }) {
  return html`
    <${Findings} figures=${[
      ["Searchable", report.searchable],
      ["Not embedded", report.not_embedded],
    ]} />
    <p class="soft figures">
      The model ${report.model?.slice(0, 12)} (${report.precision}) serves; before it was
      ${" "}${report.model_before?.slice(0, 12)} (${report.precision_before}).
    </p>
  `;
}

function OtherReport({ report }) {
  return html`
    <dl>
      ${Object.entries(report)
        .filter(([name]) => name !== "files")
        .map(([name, value]) => html`<dt>${name.replaceAll("_", " ")}</dt><dd>${valueText(value)}</dd>`)}
    </dl>
  `;
}

function Whole({ report, what }) {
  const lost = (report.num_damaged_records ?? 0) + (report.num_lost_images ?? 0);
  return lost
    ? html`<p class="note warn"><${Icon}
      name="warning" />${plural(lost, "thing")} could not be taken along whole, as listed below.</p>`
    : html`<p class="note good"><${Icon} name="check" />The ${what} “${report.out}” is complete.</p>`;
}

const LeftOut = ({ number }) =>
  number > 0 && html`
    <${Note}>${plural(number, "record was", "records were")} left out: damaged, or not embedded by this model yet.<//>
  `;

const Note = ({ children }) => html`<p class="note"><${Icon} name="info" /><span>${children}</span></p>`;

function Warnings({ texts = [], total = texts.length }) {
  if (!texts.length) return null;
  return html`
    <div class="note warn">
      <${Icon} name="warning" />
      <ul>
        ${texts.map((text) => html`<li key=${text}>${text}</li>`)}
        ${total > texts.length && html`<li>and ${count(total - texts.length)} more</li>`}
      </ul>
    </div>
  `;
}

const REPORTS = {
  import: ImportReport,
  match: MatchReport,
  group: GroupReport,
  evaluate: EvaluateReport,
  calibrate: CalibrateReport,
  verify: VerifyReport,
  backup: BackupReport,
  export: ExportReport,
  reembed: ReembedReport,
};
