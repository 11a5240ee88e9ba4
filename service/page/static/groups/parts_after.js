/** What a group has become by a review: the part that was decided, then what is left of it to be reviewed. */

/**
 * @param part the part that was reviewed, as `GET /jobs/{id}/groups` has it.
 * @param answer of `POST /jobs/{id}/groups/{number}`.
 */
export function partsAfter(part, { state, identity, records, changed, gone }) {
  const decided = new Set(records);
  const has = new Set(changed);
  const isGone = new Set(gone);
  const members = part.members
    .filter(({ id }) => decided.has(id))
    .map((member) => ({
      ...member,
      identity: has.has(member.id) ? identity : member.identity,
      gone: member.gone || isGone.has(member.id),
    }));
  const left = part.members.filter(({ id }) => !decided.has(id));
  const parts = [{ ...part, state, identity, members }];
  const known = left.find((member) => member.identity)?.identity ?? null;
  if (left.length) parts.push({ ...part, identity: known, members: left });
  return parts;
}
