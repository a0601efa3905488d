// What fhir-kit-client (npm) does and sees: node fhir_kit_client.mjs BASE PATIENT; prints JSON.
import { pathToFileURL } from "node:url";

const { Client } = await import(
  pathToFileURL(`${process.env.NODE_PATH}/fhir-kit-client/dist/index.js`)
);
const [base, patient] = process.argv.slice(2);
const client = new Client({ baseUrl: base });
const named = (family) => ({ resourceType: "Patient", name: [{ family }], gender: "female" });

async function pages(bundle) {
  const found = [];
  for (; bundle; bundle = await client.nextPage({ bundle })) {
    found.push((bundle.entry ?? []).map((one) => [
      one.search.mode, `${one.resource.resourceType}/${one.resource.id}`,
    ]));
  }
  return found;
}

async function refused(call) {
  try {
    return { status: Client.httpFor(await call).response.status, code: null };
  } catch (error) {
    const { status, data } = error.response;
    return { status, code: data.issue[0].code };
  }
}

const search = {
  resourceType: "ImagingStudy",
  searchParams: {
    patient, _include: ["ImagingStudy:patient", "ImagingStudy:endpoint"], _count: 2,
    _sort: "identifier",
  },
};
const seen = { pages: await pages(await client.search(search)) };
seen.posted = await pages(await client.search({ ...search, options: { postSearch: true } }));

seen.created = await client.create({ resourceType: "Patient", body: named("Kit") });
const [resourceType, id] = ["Patient", seen.created.id];
const etag = Client.httpFor(seen.created).response.headers.get("etag");
const whenUnchanged = { headers: { "If-Match": etag } };
seen.updated = await client.update({
  resourceType, id, body: { ...seen.created, gender: "other" }, options: whenUnchanged,
});
seen.conflict = await refused(client.update({
  resourceType, id, body: { ...seen.created, gender: "male" }, options: whenUnchanged,
}));
seen.patched = await client.patch({
  resourceType, id, jsonPatch: [
    { op: "test", path: "/gender", value: "other" },
    { op: "replace", path: "/name/0/family", value: "Patched" },
  ],
});
seen.history = (await client.history({ resourceType, id })).entry.map(
  (one) => one.resource.meta.versionId,
);
seen.first = await client.vread({ resourceType, id, version: "1" });
seen.deleted = (await refused(client.delete({ resourceType, id }))).status;
seen.gone = await refused(client.read({ resourceType, id }));

const body = JSON.parse(process.env.TRANSACTION);
seen.transaction = await client.transaction({ body });
body.entry[1].resource.status = "no such status";
seen.refused = await refused(client.transaction({ body }));
process.stdout.write(JSON.stringify(seen));
