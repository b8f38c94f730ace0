/** Both ends of a connection, each in a network namespace of its own: `serve PORT`, or `connect JSON` with a list of attempts. */
import { createSocket } from "node:dgram";
import { connect, createServer } from "node:net";

export type Attempt = { readonly protocol: string; readonly from: string; readonly to: string; readonly port: number };

/** On the other end of a veth pair an answer takes microseconds; under load, more. */
const WITHIN_MS = 1_500;
const AGAIN_MS = 250;

function serve(port: number): void {
  createServer((socket) =>
    socket
      .on("error", () => undefined)
      .resume()
      .end("hello"),
  ).listen(port, "0.0.0.0", () => console.log("ready"));
  const udp = createSocket("udp4");
  udp.on("message", (message, { port: back, address }) => udp.send(message, back, address)).bind(port, "0.0.0.0");
}

const overTcp = ({ from, to, port }: Attempt): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host: to, port, localAddress: from });
    const end = (got: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(got);
    };
    const timer = setTimeout(() => end(false), WITHIN_MS);
    socket.once("connect", () => socket.write("GET / HTTP/1.0\r\n\r\n")); // what answers may be a web server
    socket.once("data", () => end(true)).once("error", () => end(false));
  });

const overUdp = ({ from, to, port }: Attempt): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createSocket("udp4");
    const say = setInterval(() => socket.send("hello", port, to), AGAIN_MS);
    const end = (got: boolean): void => {
      clearInterval(say);
      clearTimeout(timer);
      socket.close();
      resolve(got);
    };
    const timer = setTimeout(() => end(false), WITHIN_MS);
    socket.once("message", () => end(true)).once("error", () => end(false));
    socket.bind(0, from, () => socket.send("hello", port, to));
  });

const [command, argument = ""] = process.argv.slice(2);
if (command === "serve") serve(Number(argument));
if (command === "connect") {
  const attempts = JSON.parse(argument) as readonly Attempt[]; // from the test beside this file
  console.log(
    JSON.stringify(await Promise.all(attempts.map((attempt) => (attempt.protocol === "TCP" ? overTcp(attempt) : overUdp(attempt))))),
  );
}
