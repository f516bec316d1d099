//! Containers before libdigidocpp, by its Python package `pydigidoc` (in `CAUSEWAY_PYTHON`, else
//! `python3`). It opens those of X-Road 7.6 and later, and lists files and signatures; whether they
//! are valid it judges by European trust lists, which are not ours.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;

use crate::samples::Samples;
use crate::tools;

fn python() -> Option<String> {
    let python = std::env::var("CAUSEWAY_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let imported = Command::new(&python).args(["-c", "import pydigidoc"]).output();
    let there = imported.is_ok_and(|output| output.status.success());
    let why = format!("{python} has no pydigidoc; pip install pydigidoc, and say CAUSEWAY_PYTHON");
    (there || tools::skip(&why)).then_some(python)
}

/// Says to whoever asks that there is nothing: the library asks many times.
fn nothing_there() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/none", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let head = BufReader::new(stream.try_clone().unwrap()).lines();
            head.map_while(Result::ok).find(String::is_empty);
            let _ = stream.write_all(b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        }
    });
    url
}

/// What the library finds in containers.
fn open(python: &str, containers: &[Vec<u8>]) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let paths = containers.iter().enumerate().map(|(number, bytes)| {
        let path = folder.path().join(format!("{number}.asice"));
        std::fs::write(&path, bytes).unwrap();
        path
    });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/judges/digidoc.py");
    let output = Command::new(python)
        .arg(script)
        .arg(nothing_there())
        .args(paths.collect::<Vec<_>>())
        .env("HOME", folder.path())
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    let found: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found.len(), containers.len(), "{out}{err}");
    found
}

#[test]
fn containers_open_and_are_listed_as_xroads_are() {
    let Some(python) = python() else { return };
    let Some(folder) = tools::vectors() else { return };
    let all: Vec<_> = Samples::all().collect();
    let ours: Vec<_> = all.iter().flat_map(|samples| &samples.containers).collect();
    let mut containers: Vec<_> = ours.iter().map(|sample| sample.bytes.to_vec()).collect();
    for name in ["valid-batch-ts.asice", "valid-non-batch-soap-attachments.asice"] {
        containers.push(std::fs::read(folder.join("asic").join(name)).unwrap());
    }
    let mut found = open(&python, &containers);
    let xroads = found.split_off(ours.len());
    for found in &xroads {
        assert_eq!(signatures(found).len(), 1, "{found}");
    }
    let policy = &signatures(&xroads[0])[0]["policy"];
    for (sample, found) in ours.iter().zip(&found) {
        assert_eq!(found["error"], Value::Null, "{:?}", sample.shape);
        assert_eq!(found["media_type"], xroads[0]["media_type"]);
        let files: HashMap<&str, (u64, &str)> = found["files"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, facts)| {
                (name.as_str(), (facts[0].as_u64().unwrap(), facts[1].as_str().unwrap()))
            })
            .collect();
        let container = &sample.container;
        let mut wanted =
            HashMap::from([("message.xml", (container.message.len() as u64, "text/xml"))]);
        for (name, part) in [
            ("sig-hashchainresult.xml", &container.sig_hash_chain_result),
            ("sig-hashchain.xml", &container.sig_hash_chain),
            ("ts-hashchainresult.xml", &container.ts_hash_chain_result),
            ("ts-hashchain.xml", &container.ts_hash_chain),
        ] {
            wanted.extend(part.iter().map(|part| (name, (part.len() as u64, "text/xml"))));
        }
        let bodies = container.attachments.iter();
        wanted
            .extend(bodies.map(|body| ("attachment1", (body.size(), "application/octet-stream"))));
        assert_eq!(files, wanted, "{:?}", sample.shape);

        let [signature] = signatures(found) else { panic!("one signature: {found}") };
        let signer = sample.report.signer.as_ref().unwrap();
        assert_eq!(signature["id"], "signature");
        assert_eq!(signature["method"], signer.algorithm);
        assert_eq!(signature["policy"], *policy);
        let second = |text: &str| text.get(..19).map(str::to_owned);
        let claimed = serde_json::to_value(&sample.report).unwrap()["signing_time"].clone();
        assert_eq!(second(signature["time"].as_str().unwrap()), second(claimed.as_str().unwrap()));
    }
}

fn signatures(found: &Value) -> &[Value] {
    found["signatures"].as_array().unwrap_or_else(|| panic!("{found}"))
}
