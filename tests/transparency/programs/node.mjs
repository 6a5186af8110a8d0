// node: its children, its files and its sockets, which are libuv's threads and epoll.

import { execFile, exec, fork, spawn, spawnSync } from "node:child_process";
import { readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { createConnection, createServer } from "node:net";
import { promisify } from "node:util";

const say = (key, value) => console.log(`${key}: ${value}`);

if (process.argv[2] === "child") {
  process.on("message", (word) => process.send(word.toUpperCase(), () => process.exit(3)));
} else {
  const ran = await promisify(execFile)("/bin/echo", ["from", "execFile"]);
  say("execFile", ran.stdout.trim());
  say("exec", (await promisify(exec)("echo one | tr a-z A-Z")).stdout.trim());
  say("exec, failing", await promisify(exec)("exit 5").catch((error) => error.code));
  say("spawn of nothing", await new Promise((done) => spawn("./absent").on("error", (error) => done(error.code))));
  say("spawnSync", spawnSync("sh", ["-c", "cat; exit 4"], { input: "given" }).status);
  const child = fork(process.argv[1], ["child"]);
  child.send("hello");
  say("fork answers", await new Promise((done) => child.on("message", done)));
  say("fork ends", await new Promise((done) => child.on("exit", done)));
  const ended = spawn("sleep", ["60"]);
  ended.on("spawn", () => ended.kill("SIGTERM"));
  say("killed", await new Promise((done) => ended.on("exit", (code, signal) => done(signal))));

  await Promise.all(["a", "b", "c", "d", "e", "f"].map((name) => writeFile(`file-${name}`, name)));
  await rename("file-a", "file-z");
  say("files", (await readdir(".")).filter((name) => name.startsWith("file-")).sort());
  say("content", await readFile("file-z", "utf8"));
  await rm("file-z");
  say("exclusively", await writeFile("file-b", "x", { flag: "wx" }).catch((error) => error.code));

  const talk = (...where) =>
    new Promise((done, failed) => {
      const server = createServer((peer) => peer.on("data", (data) => peer.end(data.toString().toUpperCase())));
      server.listen(...where, () => {
        const at = server.address();
        const peer = typeof at === "string" ? createConnection(at) : createConnection(at.port, at.address);
        let text = "";
        peer.on("data", (data) => (text += data)).on("error", failed);
        peer.on("end", () => server.close(() => done(text)));
        peer.write("hello");
      });
    });
  say("over a port", await talk(0, "127.0.0.1"));
  say("over a socket", await talk("node.sock"));
  const rung = [];
  await Promise.all([
    writeFile("file-timers", "x"),
    ...[300, 100, 200].map((ms) => new Promise((done) => setTimeout(() => done(rung.push(ms)), ms))),
  ]);
  say("timers", rung);
}
