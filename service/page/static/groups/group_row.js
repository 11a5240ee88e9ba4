/** One group, or the part of it that has one state: its crops, and the decision. */
import { useRef, useState } from "preact/hooks";
import { call } from "../api/client.js";
import { distance, plural } from "../format.js";
import { html } from "../html.js";
import { Icon } from "../parts/icon.js";
import { Crops } from "./crops.js";
import { GroupProblem } from "./group_problem.js";
import { partsAfter } from "./parts_after.js";

export function GroupRow({ jobId, part, onReviewed, moveFocus, reload, identities }) {
  const row = useRef(null);
  const input = useRef(null);
  const [identity, setIdentity] = useState(part.identity ?? "");
  const [left, setLeft] = useState(() => new Set());
  const [state, setState] = useState({ running: false, problem: null });
  const isOpen = part.state === "proposed";
  const present = part.members.filter(({ gone }) => !gone);
  const chosen = present.filter(({ id }) => !left.has(id));
  const isSplit = chosen.length < present.length;

  const review = async (json) => {
    if (state.running) return;
    setState({ running: true, problem: null });
    try {
      const answer = await call(`jobs/${jobId}/groups/${part.number}`, { method: "POST", json });
      onReviewed(partsAfter(part, answer));
    } catch (problem) {
      setState({ running: false, problem });
    }
  };
  const accept = () => {
    if (!identity.trim()) return input.current.focus();
    if (!chosen.length) return;
    // All of them: then nothing of the group is left, not even records that are gone.
    const records = isSplit ? { records: chosen.map(({ id }) => id) } : {};
    return review({ action: "accept", identity: identity.trim(), ...records });
  };
  const refuse = () => review({ action: "refuse" });
  const readAgain = () => {
    setState({ running: false, problem: null });
    input.current.focus(); // the button that had the focus goes away
    reload();
  };
  const toggle = (id) => {
    const changed = new Set(left);
    if (!changed.delete(id)) changed.add(id);
    setLeft(changed);
  };
  const onKeyDown = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    // A decision moves the focus to the next row: the key, still held down, must change nothing there.
    if (event.repeat && event.key === "Enter") return event.preventDefault();
    if (event.target.tagName === "INPUT") {
      if (event.key === "Escape") row.current.querySelector('.group-crop[tabindex="0"]')?.focus();
      return;
    }
    if (event.repeat && !event.key.startsWith("Arrow")) return;
    const action = {
      ArrowDown: () => moveFocus(row.current, 1),
      ArrowUp: () => moveFocus(row.current, -1),
      a: accept,
      x: refuse,
      i: () => input.current.focus(),
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  };

  return html`
    <li class=${isOpen ? "group-row open" : "group-row"} ref=${row} onKeyDown=${isOpen ? onKeyDown : null}>
      <${Head} part=${part} />
      <${Crops} members=${part.members} left=${left} onToggle=${isOpen ? toggle : null}
        label=${`Records of group ${part.number}`} />
      ${isOpen && html`
        <form class="group-decision" aria-label=${`Decision on group ${part.number}`}
          onSubmit=${(event) => (event.preventDefault(), accept())}>
          <label class="field">
            <span>${part.identity ? "Identity (some have it already)" : "Identity"}</span>
            <input class="input" ref=${input} list=${identities} maxlength="200" autocomplete="off" value=${identity}
              placeholder="which vehicle it is" onInput=${(event) => setIdentity(event.target.value)} />
          </label>
          <div class="row">
            <button class="button primary" disabled=${state.running || !chosen.length}>
              <${Icon} name="check" size="16" />Accept ${isSplit ? chosen.length : "all"}
            </button>
            <button class="button" type="button" disabled=${state.running} onClick=${refuse}>
              <${Icon} name="cross" size="16" />Refuse
            </button>
          </div>
          ${isSplit && html`<p class="small soft">What is taken out stays to be reviewed, as a group of its own.</p>`}
        </form>
      `}
      ${state.problem && html`<${GroupProblem} problem=${state.problem} reload=${readAgain} />`}
    </li>
  `;
}

function Head({ part: { number, members, state, identity } }) {
  const widest = Math.max(...members.map((member) => member.distance));
  const chip = { accepted: ["good", "check", identity], refused: ["", "cross", "refused"] }[state];
  return html`
    <div class="group-head">
      <h2>Group ${number}</h2>
      <span class="small soft figures">${plural(members.length, "record")} · distances up to ${distance(widest)}</span>
      ${chip && html`
        <span class=${`chip ${chip[0]}`} role="status"><${Icon} name=${chip[1]} size="14" />${chip[2]}</span>
      `}
    </div>
  `;
}
