// Prints every field of ECS with its type, whether it is a list, and the values it may have.
const { EcsFlat, EcsVersion } = require("@elastic/ecs");
const fields = {};
for (const [name, field] of Object.entries(EcsFlat)) {
  fields[name] = {
    type: field.type,
    list: (field.normalize ?? []).includes("array"),
    allowed: (field.allowed_values ?? []).map((one) => [one.name, one.expected_event_types ?? []]),
  };
}
process.stdout.write(JSON.stringify({ version: EcsVersion, fields }));
