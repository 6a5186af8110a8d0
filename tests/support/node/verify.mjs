// Says whether a webhook is genuine, by the specification's own library. Reads one JSON object from
// standard input, {secret, headers, body}, and prints "genuine" or why it is not.

import { Webhook } from "standardwebhooks";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { secret, headers, body } = JSON.parse(Buffer.concat(chunks).toString("utf8"));
try {
  new Webhook(secret).verify(body, headers);
  console.log("genuine");
} catch (error) {
  console.log(error.message);
}
