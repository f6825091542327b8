//! The codecs compared with the official npm parsers, which run in one Node.js process per test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::{Value as Json, json};
use uptick_socketio::protocol::Value;
use uptick_socketio::protocol::engine::{Packet as EnginePacket, Payload, encode_payload};
use uptick_socketio::protocol::packet::{Arguments, Body, Data, Decoder, Limits, Packet};
use uptick_websocket::{Message, Text};

/// Script that processes an array of requests, each `[operation, input]`. Bytes are represented as `{"$b": base64}` in both directions.
const SCRIPT: &str = r#"
const load = (name) => require(process.argv[1] + "/" + name);
const engine = load("engine.io-parser"), sio = load("socket.io-parser"), msgpack = load("socket.io-msgpack-parser");
const pack = (value) => {
    if (Buffer.isBuffer(value)) return { $b: value.toString("base64") };
    if (value instanceof ArrayBuffer) return { $b: Buffer.from(value).toString("base64") };
    if (Array.isArray(value)) return value.map(pack);
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, pack(item)]));
    return value;
};
const unpack = (value) => {
    if (Array.isArray(value)) return value.map(unpack);
    if (value && typeof value === "object") {
        if ("$b" in value) return Buffer.from(value.$b, "base64");
        return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unpack(item)]));
    }
    return value;
};
const decode = (parser, frames) => {
    const decoder = new parser.Decoder();
    let packet = null;
    decoder.on("decoded", (decoded) => { packet = decoded; });
    for (const frame of unpack(frames)) decoder.add(frame);
    return packet;
};
const operations = {
    payload: (text) => engine.decodePayload(text),
    decode: (frames) => decode(sio, frames),
    encode: (packet) => new sio.Encoder().encode(unpack(packet)),
    decodeMsgpack: (frames) => decode(msgpack, frames),
    encodeMsgpack: (packet) => new msgpack.Encoder().encode(unpack(packet)),
};
let input = "";
process.stdin.on("data", (chunk) => { input += chunk; });
process.stdin.on("end", () => {
    const results = JSON.parse(input).map(([operation, argument]) => {
        try {
            return { ok: pack(operations[operation](argument)) };
        } catch (error) {
            return { error: String(error.message) };
        }
    });
    process.stdout.write(JSON.stringify(results));
});
"#;

/// Returns the results of the official parsers; `None` if they are not installed.
fn official_results(requests: &[Json]) -> Option<Vec<Json>> {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/node_modules");
    if !modules.join("socket.io-msgpack-parser").exists()
        || !modules.join("socket.io-parser").exists()
    {
        eprintln!(
            "SKIPPED: `npm install --prefix target/tools socket.io@4 socket.io-msgpack-parser@3` was not run"
        );
        return None;
    }
    let modules = modules.canonicalize().unwrap();
    let node = Command::new("node")
        .args(["-e", SCRIPT, modules.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut node) = node else {
        eprintln!("SKIPPED: node is not installed");
        return None;
    };
    node.stdin
        .take()
        .unwrap()
        .write_all(&serde_json::to_vec(requests).unwrap())
        .unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success());
    let results: Vec<Json> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(results.len(), requests.len());
    Some(results)
}

/// Converts all numbers to floats, as in JavaScript.
fn normal(value: Json) -> Json {
    match value {
        Json::Number(number) => json!(number.as_f64()),
        Json::Array(array) => array.into_iter().map(normal).collect(),
        Json::Object(object) => object
            .into_iter()
            .map(|(key, value)| (key, normal(value)))
            .collect(),
        other => other,
    }
}

fn binary(bytes: &[u8]) -> Json {
    json!({ "$b": BASE64.encode(bytes) })
}

fn value(value: &Value) -> Json {
    match value {
        Value::Binary(bytes) => binary(bytes),
        Value::Array(array) => array.iter().map(self::value).collect(),
        Value::Object(object) => object
            .iter()
            .map(|(key, value)| (key.clone(), self::value(value)))
            .collect(),
        other => serde_json::to_value(other).unwrap(),
    }
}

fn frame(frame: &Message) -> Json {
    match frame {
        Message::Text(text) => json!(text.as_str()),
        Message::Binary(bytes) => binary(bytes),
    }
}

/// Returns a packet in the representation of the official parsers.
fn official(packet: &Packet) -> Json {
    let values = |name: &Option<Text>, arguments: &Arguments| {
        let mut values = Vec::from_iter(name.as_ref().map(|name| json!(name.as_str())));
        values.extend(arguments.to_values().unwrap().iter().map(value));
        Json::Array(values)
    };
    let parsed = |data: &Data| value(&data.parse().unwrap());
    let (kind, data) = match &packet.body {
        Body::Connect(auth) => (0, auth.as_ref().map(parsed)),
        Body::Disconnect => (1, None),
        Body::Event { name: None, .. } => (2, None),
        Body::Event { name, arguments } => (2, Some(values(name, arguments))),
        Body::Ack(arguments) => (3, Some(values(&None, arguments))),
        Body::ConnectError(error) => (4, error.as_ref().map(parsed)),
    };
    let mut json = json!({ "type": kind, "nsp": packet.namespace.as_str() });
    if let Some(id) = packet.id {
        json["id"] = json!(id);
    }
    if let Some(data) = data {
        json["data"] = data;
    }
    normal(json)
}

fn decode(frames: &[Message]) -> Option<Packet> {
    let mut decoder = Decoder::new();
    let mut packet = None;
    for frame in frames {
        packet = decoder.push(frame.clone(), &Limits::default()).ok()?;
    }
    packet
}

#[test]
fn packets_are_accepted_and_refused_like_in_the_official_parser() {
    let data = [
        "",
        "[]",
        "{}",
        "[\"a\"]",
        "[\"a\",1,-2.5e1,null,true,{\"b\":[\"\\u00fc\\ud83d\\ude00\"]}]",
        "[1,2]",
        "[null]",
        "[[\"a\"]]",
        "[\"connect\"]",
        "[\"connect_error\"]",
        "[\"disconnect\"]",
        "[\"disconnecting\"]",
        "[\"newListener\"]",
        "[\"removeListener\"]",
        "[\"\\u0063onnect\"]",
        "[\"Connect\"]",
        "[\"\"]",
        "\"text\"",
        "{\"a\":1}",
        "null",
        "true",
        "-5",
        "5",
        "5x",
        "[\"a\"",
        "[\"a\"]x",
        "[\"a\"] ",
        "[\"a\",]",
        "['a']",
        "[\"a\",{\"_placeholder\":true,\"num\":0}]",
        "[\"a\",{\"_placeholder\":true,\"num\":1},[{\"x\":{\"_placeholder\":true,\"num\":0}}]]",
        "[\"a\",{\"_placeholder\":true,\"num\":7}]",
        "[\"a\",{\"_placeholder\":true,\"num\":\"0\"}]",
        "[\"a\",{\"_placeholder\":true}]",
        "[\"a\",{\"_placeholder\":1,\"num\":0}]",
        "[\"a\",{\"_placeholder\":true,\"num\":-1}]",
        "[{\"_placeholder\":true,\"num\":0}]",
        "{\"_placeholder\":true,\"num\":0}",
        "-",
        ",",
        "/",
    ];
    let mut packets = Vec::new();
    for kind in ["0", "1", "2", "3", "4", "5", "6", "7", "x"] {
        for attachments in ["", "0-", "1-", "2-", "10-", "11-", "-", "1"] {
            for namespace in ["", "/a,", "/a", "/", "/a?b=c,", "/ü,"] {
                for id in ["", "0", "12", "007"] {
                    for data in data {
                        let text = format!("{kind}{attachments}{namespace}{id}{data}");
                        let mut frames = vec![Message::Text(Text::from(text))];
                        if matches!(kind, "5" | "6")
                            && let Ok(count) = attachments.trim_end_matches('-').parse::<u8>()
                        {
                            frames.extend(
                                (0..count).map(|byte| Message::Binary(Bytes::from(vec![byte; 2]))),
                            );
                        }
                        packets.push(frames);
                    }
                }
            }
        }
    }
    let requests: Vec<_> = packets
        .iter()
        .map(|frames| json!(["decode", frames.iter().map(frame).collect::<Vec<_>>()]))
        .collect();
    let Some(results) = official_results(&requests) else {
        return;
    };
    let mut accepted = 0;
    for (frames, result) in packets.iter().zip(results) {
        let ours = decode(frames);
        match (&ours, result.get("ok")) {
            (Some(packet), Some(theirs)) if !theirs.is_null() => {
                let mut theirs = normal(theirs.clone());
                // In the official parser, an acknowledgement may have no data.
                if theirs["type"] == 3.0 && theirs.get("data").is_none() {
                    theirs["data"] = json!([]);
                }
                // In this crate, the name of an event is always a string.
                if theirs["type"] == 2.0 && theirs["data"][0].is_number() {
                    theirs["data"][0] = json!(theirs["data"][0].as_f64().unwrap().to_string());
                }
                assert_eq!(official(packet), theirs, "{frames:?}");
                accepted += 1;
            }
            (None, None) => {}
            (None, Some(Json::Null)) => {}
            _ => panic!("{frames:?}: {ours:?}, the official parser: {result}"),
        }
    }
    assert!(accepted > 1000, "{accepted}");
}

#[test]
fn payloads_are_decoded_like_in_the_official_parser() {
    let frames = [
        "",
        "0{}",
        "1",
        "1x",
        "2",
        "2probe",
        "3",
        "4",
        "4hello",
        "4ü\u{2028}",
        "5",
        "6",
        "6x",
        "7",
        "b",
        "bAQID",
        "bAQ==",
        "b/+8=",
        "x",
        "B",
    ];
    let mut payloads: Vec<String> = frames.iter().map(|frame| (*frame).to_owned()).collect();
    for first in frames {
        for second in frames {
            payloads.push(format!("{first}\u{1e}{second}"));
            payloads.push(format!("4a\u{1e}{first}\u{1e}{second}\u{1e}4b"));
        }
    }
    let requests: Vec<_> = payloads
        .iter()
        .map(|payload| json!(["payload", payload]))
        .collect();
    let Some(results) = official_results(&requests) else {
        return;
    };
    for (payload, result) in payloads.iter().zip(results) {
        let ours: Vec<_> = Payload::new(Bytes::from(payload.clone()), 1000)
            .unwrap()
            .map(|packet| match packet {
                Err(_) => json!({ "type": "error" }),
                Ok(EnginePacket::Open(text)) => json!({ "type": "open", "data": text.as_str() }),
                Ok(EnginePacket::Close) => json!({ "type": "close" }),
                Ok(EnginePacket::Ping(text)) => json!({ "type": "ping", "data": text.as_str() }),
                Ok(EnginePacket::Pong(text)) => json!({ "type": "pong", "data": text.as_str() }),
                Ok(EnginePacket::Message(message)) => {
                    json!({ "type": "message", "data": frame(&message) })
                }
                Ok(EnginePacket::Upgrade) => json!({ "type": "upgrade" }),
                Ok(EnginePacket::Noop) => json!({ "type": "noop" }),
            })
            .collect();
        let mut theirs = result["ok"].as_array().unwrap().clone();
        for packet in &mut theirs {
            let fields = packet.as_object_mut().unwrap();
            match fields["type"].as_str().unwrap() {
                // This crate does not keep such data.
                "close" | "upgrade" | "noop" | "error" => {
                    fields.remove("data");
                }
                _ => {
                    fields.entry("data").or_insert(json!(""));
                }
            }
        }
        assert_eq!(ours, theirs, "{payload:?}");
    }
}

/// Returns packets of all kinds, with bytes at all depths.
fn samples() -> Vec<Packet> {
    let bytes = |size: usize| Value::Binary(Bytes::from(vec![0x1e; size]));
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let mut object = json(r#"{"a":[1,2.5,"ü\n\"\u0001"],"b":null}"#);
    if let Value::Object(object) = &mut object {
        object.insert("c".into(), bytes(3));
    }
    let lists = [
        vec![],
        vec![
            json("[]"),
            json("{}"),
            json("-7"),
            json("9007199254740991"),
            json("true"),
        ],
        vec![bytes(0)],
        vec![
            json("\"😀\""),
            object,
            Value::from(vec![bytes(1), Value::from(vec![bytes(300)])]),
        ],
    ];
    let mut packets = Vec::new();
    for namespace in ["/", "/admin"] {
        for id in [None, Some(0), Some(123_456)] {
            for values in &lists {
                let arguments = Arguments::of_values(values.clone());
                let name = Some("an event".into());
                let event = Body::Event {
                    name,
                    arguments: arguments.clone(),
                };
                for body in [event, Body::Ack(arguments)] {
                    packets.push(Packet {
                        namespace: namespace.into(),
                        id,
                        body,
                    });
                }
            }
        }
        let error = json(r#"{"data":{"code":401},"message":"no"}"#);
        for body in [
            Body::Connect(None),
            Body::Connect(Some(Data::Value(json(r#"{"sid":"x"}"#)))),
            Body::Disconnect,
            Body::ConnectError(Some(Data::Value(error))),
        ] {
            packets.push(Packet {
                namespace: namespace.into(),
                id: None,
                body,
            });
        }
    }
    packets
}

#[test]
fn packets_are_encoded_like_in_the_official_parser() {
    let packets = samples();
    let requests: Vec<_> = packets
        .iter()
        .map(|packet| json!(["encode", integers(official(packet))]))
        .collect();
    let Some(results) = official_results(&requests) else {
        return;
    };
    for (packet, result) in packets.iter().zip(results) {
        let frames: Vec<_> = packet.encode().unwrap().frames().collect();
        let mut ours: Vec<_> = frames.iter().map(frame).collect();
        // The first frame also contains the `4` of the Engine.IO message.
        ours[0] = json!(ours[0].as_str().unwrap().strip_prefix('4').unwrap());
        assert_eq!(Json::Array(ours), result["ok"], "{packet:?}");
        let mut messages = frames.clone();
        messages[0] = Message::from(frames[0].as_text().unwrap()[1..].to_owned());
        assert_eq!(decode(&messages).as_ref(), Some(packet));
    }
}

#[test]
fn encoded_payloads_are_decoded_by_the_official_parser() {
    let frames: Vec<_> = samples()
        .iter()
        .flat_map(|packet| packet.encode().unwrap().frames().collect::<Vec<_>>())
        .collect();
    let payload = encode_payload(&frames);
    let Some(results) = official_results(&[json!(["payload", str::from_utf8(&payload).unwrap()])])
    else {
        return;
    };
    let theirs = results[0]["ok"].as_array().unwrap();
    assert_eq!(theirs.len(), frames.len());
    for (ours, theirs) in frames.iter().zip(theirs) {
        let EnginePacket::Message(message) = EnginePacket::decode(ours.clone()).unwrap() else {
            panic!()
        };
        assert_eq!(
            json!({ "type": "message", "data": frame(&message) }),
            *theirs
        );
    }
}

/// Converts whole numbers to integers, so that ids are written as integers.
fn integers(value: Json) -> Json {
    match value {
        Json::Number(number) => match number.as_f64().filter(|number| number.fract() == 0.0) {
            Some(integer) => json!(integer as i64),
            None => Json::Number(number),
        },
        Json::Array(array) => array.into_iter().map(integers).collect(),
        Json::Object(object) => object
            .into_iter()
            .map(|(key, value)| (key, integers(value)))
            .collect(),
        other => other,
    }
}

#[cfg(feature = "msgpack")]
#[test]
fn messagepack_packets_are_exchanged_with_the_official_parser() {
    use uptick_socketio::protocol::msgpack;
    let packets = samples();
    let ours: Vec<_> = packets
        .iter()
        .map(|packet| {
            msgpack::encode(packet)
                .unwrap()
                .frames()
                .map(|message| frame(&message))
                .collect::<Vec<_>>()
        })
        .collect();
    let mut requests: Vec<_> = ours
        .iter()
        .map(|frames| json!(["decodeMsgpack", frames]))
        .collect();
    requests.extend(
        packets
            .iter()
            .map(|packet| json!(["encodeMsgpack", integers(official(packet))])),
    );
    let Some(results) = official_results(&requests) else {
        return;
    };
    let (decoded, encoded) = results.split_at(packets.len());
    for ((packet, decoded), encoded) in packets.iter().zip(decoded).zip(encoded) {
        assert_eq!(
            official(packet),
            normal(decoded["ok"].clone()),
            "{packet:?}"
        );
        let bytes = BASE64
            .decode(encoded["ok"][0]["$b"].as_str().unwrap())
            .unwrap();
        assert_eq!(
            &msgpack::decode(bytes.into(), &Limits::default()).unwrap(),
            packet
        );
    }
}
