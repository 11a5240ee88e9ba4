/** What can be done with the selected records, at the bottom of the screen. */
import { useState } from "preact/hooks";
import { count, plural } from "../format.js";
import { html } from "../html.js";
import { Confirm } from "../parts/confirm.js";
import { isEmpty } from "../parts/filters.js";
import { Icon } from "../parts/icon.js";
import { deleteMany } from "./deletion.js";
import { EditMany } from "./edit_many.js";
import { idsStillThere, requestsFor } from "./selection.js";

export function SelectionBar({ selection, conditions, total, pageSize, stats }) {
  const [open, setOpen] = useState(null);
  const number = selection.all ? total : selection.ids.size;
  if (!number) return null;
  const requests = requestsFor(selection, conditions, total);
  const lookAgain = async () => selection.all || selection.keepOnly(await idsStillThere(requests));
  const close = () => setOpen(null);
  const isMore = !selection.all && total > number;
  // Nothing changes all records of a gallery at once.
  const canSelectAll = !isEmpty(conditions);
  return html`
    <section class="selection-bar" aria-label="Selected records">
      <strong class="figures" role="status">${count(number)} selected</strong>
      <div class="row">
        ${isMore && !(canSelectAll && pageSize === total) && html`
          <button class="button plain" onClick=${selection.selectPage}>
            <span><span class="wide-only">Select the </span>page (${count(pageSize)})</span>
          </button>
        `}
        ${isMore && canSelectAll && html`
          <button class="button plain" onClick=${selection.selectAll}>
            <span><span class="wide-only">Select </span>all ${count(total)}<span class="wide-only"> that pass</span></span>
          </button>
        `}
        <button class="button" onClick=${() => setOpen("edit")}><${Icon} name="pencil" size="16" />Edit</button>
        <button class="button danger" onClick=${() => setOpen("delete")}>
          <${Icon} name="trash" size="16" />Delete
        </button>
      </div>
      <button class="button icon plain" aria-label="Select none" onClick=${selection.clear}><${Icon} name="close" /></button>
    </section>
    ${open === "edit" && html`
      <${EditMany} number=${number} requests=${requests} lookAgain=${lookAgain} stats=${stats} onClose=${close}
        onDone=${selection.clear} />
    `}
    ${open === "delete" && html`
      <${Confirm} title=${`Delete ${plural(number, "record")}?`} action=${`Delete ${plural(number, "record")}`} danger
        onClose=${close}
        onConfirm=${async () => {
          await deleteMany(requests, lookAgain);
          selection.clear();
        }}>
        <p>They are gone from every answer at once. “Undo” brings them back for a while, as the service is set up.</p>
      <//>
    `}
  `;
}
