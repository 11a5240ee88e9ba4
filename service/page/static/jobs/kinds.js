/**
 * The kinds of jobs in words, and the fields of the form that starts each: as `POST /jobs` takes them. A field with
 * `when` is there only then; one that is `virtual` decides what others are there, and is not sent.
 */
const IDENTITY_FROM_FOLDER = {
  name: "identity_from_folder",
  type: "check",
  label: "The folder is the identity",
  help: "For images without a manifest: the name of the folder that each lies in says which vehicle it is.",
};

const pathField = (name, help) => ({
  name,
  type: "text",
  label: "Path",
  required: true,
  placeholder: "flights/monday",
  help,
});

const IMPORT_PATH =
  "A manifest, a folder with a manifest.csv or of images, or an image, below the service's import folder.";

export const KINDS = {
  import: {
    title: "Import",
    icon: "upload",
    summary: "Enrols a manifest or a folder of images that lies on the server.",
    subject: ({ path }) => path,
    fields: [pathField("path", IMPORT_PATH), IDENTITY_FROM_FOLDER],
  },
  match: {
    title: "Match",
    icon: "search",
    summary: "Looks for many vehicles in the gallery at once, and lists their matches in a file.",
    subject: ({ path }) => path ?? "records of the gallery",
    fields: [
      {
        name: "asked",
        type: "choice",
        virtual: true,
        label: "Which vehicles are looked for?",
        choices: { path: "Those of a manifest or folder", records: "Records of the gallery" },
      },
      { ...pathField("path", IMPORT_PATH), when: (draft) => draft.asked === "path" },
      { ...IDENTITY_FROM_FOLDER, when: (draft) => draft.asked === "path" },
      {
        name: "records",
        type: "conditions",
        label: "Records that are looked for",
        help: "Those that pass all conditions; without any, all records.",
        isAlwaysSent: true,
        when: (draft) => draft.asked === "records",
      },
      {
        name: "where",
        type: "conditions",
        label: "Records that are searched",
        help: "Those that pass all conditions; without any, all records.",
      },
      { name: "top_k", type: "number", label: "Matches of each vehicle", initial: "10", min: 1, max: 1000, step: 1 },
      {
        name: "group_by",
        type: "check",
        value: "identity",
        label: "One match for each identity",
        help: "Of each identity only its nearest record.",
      },
    ],
  },
  group: {
    title: "Group",
    icon: "group",
    summary: "Proposes which records show the same vehicle, for you to review.",
    subject: () => "records of the gallery",
    fields: [
      {
        name: "records",
        type: "conditions",
        label: "Records that are grouped",
        help: "Those that pass all conditions; without any, all records. At most 100,000.",
      },
      {
        name: "max_distance",
        type: "number",
        label: "Largest distance within a group",
        min: 0,
        step: "any",
        help: "Needed only while the model is not calibrated; otherwise it is chosen by the calibration.",
      },
    ],
  },
  evaluate: {
    title: "Evaluate",
    icon: "chart",
    summary: "Measures how often the right vehicle comes first, on vehicles whose identity is known.",
    subject: ({ data }) => data ?? "the held-out set",
    fields: [
      {
        name: "on",
        type: "choice",
        virtual: true,
        label: "On which vehicles?",
        choices: { heldout: "The held-out set of this service", data: "A manifest of my own" },
      },
      {
        ...pathField("data", "A manifest, or a folder with a manifest.csv, below the service's import folder."),
        when: (draft) => draft.on === "data",
      },
      {
        name: "rerank",
        type: "check",
        label: "With re-ranking",
        help: "Ranks by the neighbours that records share, instead of by plain distances.",
      },
    ],
  },
  calibrate: {
    title: "Calibrate",
    icon: "gauge",
    summary: "Finds out on your own vehicles from which distance on a match is to be believed.",
    subject: () => "records whose identity is known",
    fields: [
      {
        name: "records",
        type: "conditions",
        label: "Records that take part",
        help: "Of those that pass all conditions, the ones with an identity: a hundred or more, some with two records.",
      },
      {
        name: "adopt",
        type: "check",
        initial: true,
        isAlwaysSent: true,
        label: "Decide by it from then on",
        help: "Otherwise it is only measured, and nothing changes.",
      },
    ],
  },
  verify: {
    title: "Verify",
    icon: "shield",
    summary: "Reads the whole gallery from the disk and checks it for damage.",
    subject: () => "the gallery",
    fields: [],
  },
  backup: {
    title: "Backup",
    icon: "download",
    summary: "Copies the gallery, while it goes on working. A second backup into the same folder copies what is new.",
    subject: ({ path }) => path,
    fields: [
      pathField("path", "A new folder, or that of an earlier backup, below the service's export folder."),
      {
        name: "check",
        type: "check",
        label: "Check what is there already",
        help: "Reads the images of the earlier backup, and replaces damaged ones.",
      },
      {
        name: "prune",
        type: "check",
        label: "Remove what is not needed",
        help: "Images that only earlier backups name.",
      },
    ],
  },
  export: {
    title: "Export",
    icon: "download",
    summary: "Writes the gallery as Parquet files and images, for other programs.",
    subject: ({ path }) => path,
    fields: [
      pathField("path", "A new or empty folder below the service's export folder."),
      {
        name: "compression",
        type: "choice",
        label: "Compression of the Parquet files",
        choices: { zstd: "Zstandard", none: "None" },
      },
    ],
  },
  reembed: {
    title: "Re-embed",
    icon: "turn",
    summary: "Brings all records to the model that the service was started with. It begins by itself when needed.",
    subject: () => "the gallery",
    fields: [],
  },
};

export const kindOf = (name) =>
  KINDS[name] ?? { title: name, icon: "jobs", summary: "", subject: () => "", fields: [] };

/** What a job is called: "Import of flights/monday.csv". */
export function titleOf(job) {
  const { title, subject } = kindOf(job.kind);
  const of = subject(job.parameters);
  return of ? `${title}: ${of}` : title;
}
