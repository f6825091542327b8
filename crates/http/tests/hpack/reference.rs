//! Comparison with the Python package `hpack`, in both directions.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use uptick_http::h2::hpack::{Decoder, Encoder, Indexing};

use crate::support::{OwnedField, decode, encode, field, hex, to_hex};

/// Environment variable. If it is set, the tests fail when the package is not installed.
const REQUIRED: &str = "UPTICK_REQUIRE_PYTHON";

/// Runs Python with the packages of `.ci/run`, if they are installed there.
fn python(script: &str, input: &str) -> Option<Output> {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/python");
    let mut paths = vec![packages];
    paths.extend(std::env::var_os("PYTHONPATH").map(Into::into));
    let mut child = Command::new("python3")
        .args(["-c", script])
        .env("PYTHONPATH", std::env::join_paths(paths).unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        child.wait_with_output().ok()
    })
}

/// Executes operations with the package, and returns its lines. Without the package, prints a message and returns `None`.
fn run(operations: &str) -> Option<Vec<String>> {
    let is_installed = python("import hpack", "").is_some_and(|output| output.status.success());
    if !is_installed {
        let required = std::env::var_os(REQUIRED).is_some();
        assert!(!required, "{REQUIRED} is set, but hpack is not installed");
        // Unlike `eprintln`, this is also shown for tests that pass.
        let _ = writeln!(
            io::stderr(),
            "SKIPPED: `python3 -m pip install hpack` was not run"
        );
        return None;
    }
    let output = python(include_str!("reference.py"), operations).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let lines = String::from_utf8(output.stdout).unwrap();
    Some(lines.lines().map(str::to_owned).collect())
}

/// A field as text for the script.
fn to_text(field: &OwnedField) -> String {
    let sensitive = u8::from(field.sensitive);
    format!(
        "{}.{}.{sensitive}",
        to_hex(&field.name),
        to_hex(&field.value)
    )
}

fn to_texts(fields: &[OwnedField]) -> String {
    fields.iter().map(to_text).collect::<Vec<_>>().join(" ")
}

/// Pseudo-random numbers, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % end
    }

    fn text(&mut self) -> Vec<u8> {
        let length = [3, 20, 200][self.below(3)];
        let length = self.below(length);
        let is_text = self.below(4) > 0;
        let byte = |random: &mut Random| match is_text {
            true => b' ' + random.below(95) as u8,
            false => random.below(256) as u8,
        };
        (0..length).map(|_| byte(self)).collect()
    }

    fn field(&mut self) -> OwnedField {
        let known = [
            ":status",
            ":path",
            "content-type",
            "cookie",
            "accept",
            "x-a",
            "x-b",
        ];
        let values = ["200", "/", "text/html", "a", "b", "gzip, deflate", ""];
        let name = match self.below(4) {
            // The package refuses an empty name.
            0 => [b"x".to_vec(), self.text()].concat(),
            _ => known[self.below(known.len())].into(),
        };
        let value = match self.below(2) {
            0 => self.text(),
            _ => values[self.below(values.len())].into(),
        };
        let sensitive = self.below(10) == 0;
        OwnedField {
            sensitive,
            ..field(name, value)
        }
    }

    fn fields(&mut self) -> Vec<OwnedField> {
        (0..1 + self.below(8)).map(|_| self.field()).collect()
    }
}

/// Returns a new size of the table for one of five blocks.
fn random_size(random: &mut Random) -> Option<u32> {
    let size = [0, 60, 300, 1000, 4096][random.below(5)];
    (random.below(5) == 0).then_some(size)
}

#[test]
fn the_package_decodes_the_blocks_of_the_encoder() {
    let mut random = Random(0x5eed);
    let (mut operations, mut expected) = (String::new(), Vec::new());
    for _ in 0..40 {
        operations += "connection 4096\n";
        let mut encoder = Encoder::new();
        for _ in 0..25 {
            for size in [random_size(&mut random), random_size(&mut random)]
                .into_iter()
                .flatten()
            {
                encoder.set_max_table_size(size);
            }
            let fields = random.fields();
            let indexing = [Indexing::Add, Indexing::Add, Indexing::Without][random.below(3)];
            let block = encode(&mut encoder, &fields, indexing);
            operations += &format!("decode {}\n", to_hex(&block));
            expected.push(to_texts(&fields));
        }
    }
    if let Some(lines) = run(&operations) {
        assert_eq!(lines, expected);
    }
}

#[test]
fn the_decoder_decodes_the_blocks_of_the_package() {
    let mut random = Random(0xfeed);
    let (mut operations, mut expected) = (String::new(), Vec::new());
    for _ in 0..40 {
        operations += "connection 4096\n";
        let (mut connection, mut size) = (Vec::new(), 4096);
        for _ in 0..25 {
            let sizes = [random_size(&mut random), random_size(&mut random)];
            for new in sizes.into_iter().flatten() {
                // The package does not announce a change that is followed by the same size.
                if new != size {
                    operations += &format!("resize {new}\n");
                    size = new;
                }
            }
            let mut fields = random.fields();
            for field in fields.iter_mut().filter(|field| field.sensitive) {
                // The package writes an index for a sensitive field that equals one of the table.
                field.value = format!("secret {}", random.below(1 << 40)).into();
            }
            operations += &format!("encode {}\n", to_texts(&fields));
            connection.push(fields);
        }
        expected.push(connection);
    }
    let Some(lines) = run(&operations) else {
        return;
    };
    let mut blocks = lines.iter();
    for connection in expected {
        let mut decoder = Decoder::new(4096);
        for fields in connection {
            let block = blocks.next().unwrap();
            assert_eq!(decode(&mut decoder, &hex(block)), Ok(fields), "{block}");
        }
    }
    assert_eq!(blocks.next(), None);
}

#[test]
fn the_package_refuses_the_same_changed_blocks() {
    let mut random = Random(0xdead);
    let (mut operations, mut found) = (String::new(), Vec::new());
    for _ in 0..3000 {
        let mut block = encode(&mut Encoder::new(), &random.fields(), Indexing::Add);
        for _ in 0..1 + random.below(2) {
            let position = random.below(block.len());
            block[position] = random.below(256) as u8;
        }
        operations += &format!("connection 4096\ndecode {}\n", to_hex(&block));
        let decoded = decode(&mut Decoder::new(4096), &block);
        found.push((to_hex(&block), decoded));
    }
    let Some(lines) = run(&operations) else {
        return;
    };
    assert_eq!(lines.len(), found.len());
    for (line, (block, decoded)) in lines.iter().zip(found) {
        match decoded {
            Ok(fields) => assert_eq!(*line, to_texts(&fields), "{block}"),
            Err(error) => assert!(line.starts_with("error "), "{error:?}, but {line}: {block}"),
        }
    }
}
