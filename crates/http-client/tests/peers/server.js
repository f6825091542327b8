// A server for the tests, in Node.js. Arguments: the protocol, and for TLS the paths of the certificate and of the key. It prints its port, and it ends
// with its standard input.
"use strict";
const fs = require("node:fs");
const http = require("node:http");
const http2 = require("node:http2");
const https = require("node:https");
const zlib = require("node:zlib");

const [, protocol, cert, key] = process.argv;
const tls = cert && { cert: fs.readFileSync(cert), key: fs.readFileSync(key) };
const seen = new Map();
let events = 0;

const routes = {
    "/": (request, response) => response.end("hello"),
    "/slow": (request, response) => setTimeout(() => response.end("slow"), 50),
    "/echo": (request, response) => {
        response.writeHead(200, { "x-method": request.method });
        request.pipe(response);
    },
    "/length": (request, response) => {
        let length = 0;
        request.on("data", piece => { length += piece.length; });
        request.on("end", () => response.end(String(length)));
    },
    "/refuse": (request, response) => {
        response.writeHead(413, response.stream ? {} : { connection: "close" });
        response.end("too large");
    },
    "/trailers": (request, response) => {
        response.writeHead(200, { trailer: "x-sum" });
        response.write("abc");
        response.addTrailers({ "x-sum": "42" });
        response.end("def");
    },
    "/hints": (request, response) => {
        response.writeEarlyHints({ link: "</style.css>; rel=preload" });
        response.end("hinted");
    },
    "/gzip": (request, response) => {
        response.writeHead(200, { "content-encoding": "gzip" });
        response.end(zlib.gzipSync("x".repeat(100000)));
    },
    "/br": (request, response) => {
        response.writeHead(200, { "content-encoding": "br" });
        response.end(zlib.brotliCompressSync("x".repeat(100000)));
    },
    "/zeros": (request, response) => {
        let left = 256;
        const piece = Buffer.alloc(65536);
        const more = () => {
            while (left > 0) {
                left -= 1;
                if (!response.write(piece)) return response.once("drain", more);
            }
            response.end();
        };
        more();
    },
    // Closes about every fourth connection shortly after the response. Counts the requests of each number.
    "/closing": (request, response) => {
        const number = request.headers["x-number"];
        seen.set(number, (seen.get(number) ?? 0) + 1);
        response.end("ok");
        if (number % 4 === 0) setTimeout(() => request.socket.destroy(), number % 3);
    },
    "/repeated": (request, response) => {
        response.end(String([...seen.values()].filter(count => count > 1).length));
    },
    // Events on five connections: one ends, one is reset, one has status 503, and the last one has status 204.
    "/events": (request, response) => {
        events += 1;
        if (events === 3) return response.writeHead(503).end();
        if (events === 5) return response.writeHead(204).end();
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.write(`retry: 10\nid: ${events}\ndata: after ${request.headers["last-event-id"]}\n\n`);
        setTimeout(() => (events === 2 ? request.socket.destroy() : response.end()), 20);
    },
};

const handle = (request, response) => {
    const route = routes[request.url];
    return route ? route(request, response) : response.writeHead(404).end("not found");
};
// Sends the status 100 and, in HTTP/2, the head of the response in one write.
const proceed = (request, response) => {
    response.writeContinue();
    handle(request, response);
};

const create = {
    http: () => http.createServer({ keepAliveTimeout: 1000 }, handle),
    https: () => https.createServer(tls, handle),
    http2: () => http2.createServer({ settings: { maxConcurrentStreams: 100 } }, handle),
    https2: () => http2.createSecureServer({ ...tls, allowHTTP1: true }, handle),
    // Sends GOAWAY with the fiftieth request of a connection.
    leaving: () => http2.createServer().on("session", session => {
        let count = 0;
        session.on("error", () => {});
        session.on("stream", stream => {
            stream.on("error", () => {});
            stream.respond({ ":status": 200 });
            stream.end("ok");
            count += 1;
            if (count === 50) {
                session.goaway(0, stream.id);
                setTimeout(() => session.close(), 5);
            }
        });
    }),
};
const server = create[protocol]();
server.on("checkContinue", proceed);
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
