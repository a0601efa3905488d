// What fhirclient (npm) does and sees: node fhirclient.cjs BASE PATIENT; prints JSON.
const FHIR = require("fhirclient");

const [base, patient] = process.argv.slice(2);
const kept = new Map();
const storage = {
  get: async (key) => kept.get(key),
  set: async (key, value) => kept.set(key, value),
  unset: async (key) => kept.delete(key),
};
const client = FHIR({ headers: {}, url: "/" }, {}, storage).client(base);
const named = (family) => ({ resourceType: "Patient", name: [{ family }], gender: "female" });

async function refused(call) {
  try {
    const { response } = await call;
    return { status: response.status, code: null };
  } catch (error) {
    const outcome = JSON.parse(error.message.slice(error.message.indexOf("{")));
    return { status: error.status, code: outcome.issue[0].code };
  }
}

const modes = (page) => (page.entry ?? []).map((one) => [
  one.search.mode, `${one.resource.resourceType}/${one.resource.id}`,
]);

async function main() {
  const query = new URLSearchParams({ patient, _count: 2, _sort: "identifier" });
  query.append("_include", "ImagingStudy:patient");
  query.append("_include", "ImagingStudy:endpoint");
  const seen = { pages: [] };
  await client.request(`ImagingStudy?${query}`, {
    pageLimit: 0, onPage: (page) => seen.pages.push(modes(page)),
  });
  const flat = await client.request(`ImagingStudy?patient=${patient}&_count=2`, {
    pageLimit: 0, flat: true, resolveReferences: ["subject"],
  });
  seen.subjects = flat.map((study) => study.subject.resourceType);

  const { body: created, response } = await client.create(named("Smart"), { includeResponse: true });
  seen.created = created;
  const address = `Patient/${created.id}`;
  const headers = { "If-Match": response.headers.get("etag") };
  seen.updated = await client.update({ ...created, gender: "other" }, { headers });
  seen.conflict = await refused(client.update({ ...created, gender: "male" }, { headers }));
  seen.patched = await client.patch(address, [
    { op: "test", path: "/gender", value: "other" },
    { op: "replace", path: "/name/0/family", value: "Patched" },
  ]);
  seen.history = (await client.request(`${address}/_history`)).entry.map(
    (one) => one.resource.meta.versionId,
  );
  seen.first = await client.request(`${address}/_history/1`);
  seen.deleted = (await refused(client.delete(address, { includeResponse: true }))).status;
  seen.gone = await refused(client.request(address));

  const bundle = JSON.parse(process.env.TRANSACTION);
  const post = () => client.request({
    url: "/", method: "POST", body: JSON.stringify(bundle),
    headers: { "Content-Type": "application/fhir+json" },
  });
  seen.transaction = await post();
  bundle.entry[1].resource.status = "no such status";
  seen.refused = await refused(post());
  process.stdout.write(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
