/** The groups of a proposal as rows of crops, a page at a time. */
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import { call } from "../api/client.js";
import { useResource } from "../api/resource.js";
import { html } from "../html.js";
import { Loaded } from "../parts/loaded.js";
import { Pager, usePages } from "../parts/pager.js";
import { Empty } from "../parts/states.js";
import { Suggestions } from "../parts/suggestions.js";
import { href } from "../route.js";
import { GroupRow } from "./group_row.js";

const PAGE = 20;
const MOST_SUGGESTED = 1000;

export const STATES = { proposed: "To review", accepted: "Accepted", refused: "Refused" };
const NONE = {
  proposed: ["check", "Nothing left to review", "Every group was accepted or refused, or nothing was alike enough."],
  accepted: ["group", "Nothing accepted yet", "Groups that you give an identity are found here."],
  refused: ["group", "Nothing refused", "Groups that you refuse are found here."],
};

export function Review({ id, state }) {
  const pages = usePages([state]);
  const page = useResource(
    (signal) => call(`jobs/${id}/groups`, { query: { state, limit: PAGE, cursor: pages.cursor }, signal }),
    [id, state, pages.cursor],
  );
  const stats = useResource((signal) => call("gallery/stats", { query: { limit: MOST_SUGGESTED }, signal }), []);
  const { data, setData } = page;
  const list = useRef(null);
  const identities = useId();
  const decidedIndex = useRef(null);

  /** What was decided stays where it is, so that nothing moves under one's hands; what is left follows it. */
  const replace = (part, parts) => {
    decidedIndex.current = data.groups.indexOf(part);
    setData((before) => ({ ...before, groups: before.groups.flatMap((one) => (one === part ? parts : [one])) }));
  };
  useLayoutEffect(() => {
    if (decidedIndex.current === null) return;
    const rows = [...list.current.children];
    const later = rows.slice(decidedIndex.current);
    decidedIndex.current = null;
    focusFirstOpen(later) || focusFirstOpen(rows) || document.getElementById("main").focus();
  }, [data]);

  const moveFocus = (row, step) => {
    const rows = [...list.current.children];
    const index = rows.indexOf(row);
    focusFirstOpen(step > 0 ? rows.slice(index + 1) : rows.slice(0, index).reverse());
  };

  return html`
    <nav class="row" aria-label="Which groups">
      ${Object.entries(STATES).map(
        ([name, title]) => html`
          <a key=${name} class="button" href=${href("groups", id, name === "proposed" ? {} : { state: name })}
            aria-current=${name === state ? "page" : null}>${title}</a>
        `,
      )}
    </nav>
    ${state === "proposed" && html`
      <p class="small soft keys-help">
        Up and down: from row to row. Left and right: from crop to crop. Space takes a crop out or in.${" "}
        <kbd>A</kbd> accepts with the identity in the field, <kbd>X</kbd> refuses the group, <kbd>I</kbd> goes to the
        identity.
      </p>
    `}
    <${Loaded} resource=${page}>
      ${({ groups, next_cursor, total }) => html`
        ${!groups.length && html`<${Empty} icon=${NONE[state][0]} title=${NONE[state][1]}>${NONE[state][2]}<//>`}
        <ol class="group-rows" aria-label=${`Groups: ${STATES[state]}`} aria-busy=${page.loading} ref=${list}>
          ${groups.map(
            (part) => html`
              <${GroupRow} key=${keyOf(part)} jobId=${id} part=${part} identities=${identities} moveFocus=${moveFocus}
                onReviewed=${(parts) => replace(part, parts)} reload=${page.reload} />
            `,
          )}
        </ol>
        <${Pager} pages=${pages} nextCursor=${next_cursor} total=${total} size=${PAGE} />
      `}
    <//>
    <${Suggestions} id=${identities} counts=${stats.data?.identities} />
  `;
}

/** A part of a group that was decided upon, or split, is another one: its row begins anew. */
const keyOf = ({ number, state, identity, members }) => [number, state, identity, members.length].join(" ");

/** Focuses the crops of the first row that is still to be decided, if there is one, and says so. */
function focusFirstOpen(rows) {
  const row = rows.find((one) => one.classList.contains("open"));
  row?.querySelector('.group-crop[tabindex="0"], input').focus();
  row?.scrollIntoView({ block: "nearest" });
  return Boolean(row);
}
