//! What passes between the information systems, byte for byte, and what the evidence keeps of it.

use causeway_message::rest;
use causeway_pki::DigestAlgorithm;
use sandbox::Ecosystem;
use sandbox::evidence;

use crate::provider::{Provider, Seen, response};
use crate::scene::{
    self, POPULATION, PORTAL, add_service, container, for_portal, get, portal, with_body,
};
use crate::wire::Wire;

/// Where the service `echo` is asked.
const ECHO: &str = "/r1/DEV/GOV/1001/population/echo";

/// An ecosystem with a service `echo` of a provider that remembers.
async fn scene_with(
    answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static,
) -> (Ecosystem, Provider) {
    let provider = Provider::start(answer).await;
    let url = provider.url("/base");
    let ecosystem = scene::start(move |name, table| {
        if name == "ss2" {
            add_service(table, POPULATION, "echo", &url, &for_portal());
        }
    })
    .await;
    (ecosystem, provider)
}

/// The header lines of a container's message, after its first two lines.
fn lines(message: &[u8]) -> Vec<String> {
    let text = String::from_utf8(message.to_vec()).unwrap();
    text.strip_suffix("\r\n").unwrap().split("\r\n").map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn verbs_paths_and_queries() {
    let (ecosystem, provider) = scene_with(|_| response("200 OK", "", b"ok")).await;
    for verb in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
        let answer = portal(&ecosystem, get(ECHO, "").replace("GET ", &format!("{verb} "))).await;
        assert_eq!((answer.status, answer.code()), (200, None), "{verb}: {answer:?}");
        assert_eq!(answer.body.is_empty(), verb == "HEAD");
        assert_eq!(provider.last().target(), format!("{verb} /base"));
    }
    for path in [
        "",
        "/",
        "/a/b",
        "/a%20b%2Fc%c3%a4%C3%A4",
        "/a//b/../c/./d",
        "/~!$&'()*+,;=:@-._",
        "?",
        "?a",
        "/a?",
        "/?b=1&b=2&&c",
        "/x?q=%25%2f%2F+a/b?c=[d]{e}|^`",
        "/x?q=%",
        "/x?q=?/",
    ] {
        let answer = portal(&ecosystem, get(&format!("{ECHO}{path}"), "X-Road-Id: p\r\n")).await;
        assert_eq!((answer.status, answer.code()), (200, None), "{path}: {answer:?}");
        assert_eq!(provider.last().target(), format!("GET /base{path}"));
    }
    ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_a_request() {
    let (ecosystem, provider) = scene_with(|_| response("200 OK", "", b"ok")).await;
    let sent = "X-Road-Id: the-id\r\nX-cUSTOM: One\r\naccept:  text/plain \r\nX-Custom: two\r\n\
        User-Agent: me\r\nTE: trailers\r\nKeep-Alive: 1\r\nProxy-Authorization: x\r\nUpgrade: h2\r\n\
        X-Road-Request-Id: mine\r\nX-Road-Request-Hash: mine\r\nCookie: a=b\r\nAuthorization: Basic eA==\r\n\
        X-Road-Represented-Party: COM/5\r\nX-Road-UserId: EE1\r\nX-Road-Issue: 7\r\nx-empty:\r\n\
        X-Latin: caf\u{e9}\r\n";
    let answer = portal(&ecosystem, get(&format!("{ECHO}/h?x"), sent)).await;
    assert_eq!((answer.status, answer.header("x-road-id")), (200, Some("the-id")), "{answer:?}");

    let kept = container(ecosystem.server("ss1").unwrap(), PORTAL, "the-id", false).await;
    let request_id = rest::RestRequest::parse(&kept.message).unwrap().request_id;
    assert_eq!(
        lines(&kept.message),
        [
            "GET",
            &format!("{ECHO}/h?x"),
            &format!("X-Road-Client:{PORTAL}"),
            "X-Road-Id:the-id",
            "X-cUSTOM:One",
            "accept:text/plain",
            "X-Custom:two",
            "Cookie:a=b",
            "Authorization:Basic eA==",
            "X-Road-Represented-Party:COM/5",
            "X-Road-UserId:EE1",
            "X-Road-Issue:7",
            "x-empty:",
            // As X-Road's servers keep it: each byte that came is a character.
            "X-Latin:caf\u{c3}\u{a9}",
            &format!("x-road-request-id:{request_id}"),
        ]
    );
    request_id.parse::<uuid::Uuid>().unwrap();

    let seen = provider.last();
    let theirs = container(ecosystem.server("ss2").unwrap(), POPULATION, "the-id", false).await;
    assert_eq!(theirs.message, kept.message);
    for line in lines(&kept.message).iter().skip(2) {
        let (name, value) = line.split_once(':').unwrap();
        let there = |(n, v): &(String, String)| n.eq_ignore_ascii_case(name) && v == value;
        assert!(seen.headers.iter().any(there), "{line} is not in {seen:?}");
    }
    for dropped in ["user-agent", "te", "keep-alive", "proxy-authorization", "upgrade"] {
        assert_eq!(seen.header(dropped), None);
    }
    assert!(provider.url("/").contains(seen.header("host").unwrap()));
    ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_beyond_ascii_arrive_as_they_were_sent() {
    let (ecosystem, provider) =
        scene_with(|_| response("200 OK", "X-Back: \u{e9}\u{20ac}\r\n", b"ok")).await;
    let mut request = get(ECHO, "X-Road-Id: bytes\r\n").into_bytes();
    request.truncate(request.len() - 2);
    request.extend_from_slice(b"X-Bytes: \xe9 \xe2\x82\xac \x80\r\n\r\n");
    let mut wire = Wire::connect(ecosystem.server("ss1").unwrap().addresses().http).await;
    let answer = wire.ask(request).await;
    assert_eq!((answer.status, answer.code()), (200, None), "{answer:?}");
    let latin = |bytes: &[u8]| -> String { bytes.iter().map(|b| char::from(*b)).collect() };
    let sent = latin(b"\xe9 \xe2\x82\xac \x80");
    assert_eq!(provider.last().header("x-bytes"), Some(sent.as_str()));
    let back = latin("\u{e9}\u{20ac}".as_bytes());
    assert_eq!(answer.header("x-back"), Some(back.as_str()));

    let answer = portal(&ecosystem, get(&format!("{ECHO}/\u{e4}?q=\u{20ac}"), "")).await;
    assert_eq!((answer.status, answer.code()), (200, None), "{answer:?}");
    assert_eq!(provider.last().target(), "GET /base/%C3%A4?q=%E2%82%AC");
    ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_with_a_body_say_that_there_is_none() {
    let (ecosystem, provider) = scene_with(|_| response("200 OK", "", b"ok")).await;
    for (verb, length) in
        [("POST", Some("0")), ("PUT", Some("0")), ("PATCH", Some("0")), ("DELETE", None)]
    {
        for sent in ["", "Content-Length: 0\r\n"] {
            let answer =
                portal(&ecosystem, get(ECHO, sent).replace("GET ", &format!("{verb} "))).await;
            assert_eq!((answer.status, answer.code()), (200, None), "{answer:?}");
            assert_eq!(provider.last().header("content-length"), length, "{verb} {sent}");
        }
    }
    ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_headers_pass() {
    let many: String = (0..200).map(|n| format!("X-N{n}: {n}\r\n")).collect();
    let back = many.clone();
    let (ecosystem, provider) = scene_with(move |_| response("200 OK", &back, b"ok")).await;
    let answer = portal(&ecosystem, get(ECHO, &many)).await;
    assert_eq!((answer.status, answer.code()), (200, None), "{answer:?}");
    assert_eq!(provider.last().header("x-n199"), Some("199"));
    assert_eq!(answer.header("x-n199"), Some("199"));
    ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_keep_their_case_behind_large_bodies() {
    let (ecosystem, _provider) = scene_with(|_| response("200 OK", "", b"ok")).await;
    let server = ecosystem.server("ss1").unwrap();
    let mut wire = Wire::connect(server.addresses().http).await;
    for (number, size) in [0, 1 << 20, 0, 200_000, 200_000, 65_536, 1000].into_iter().enumerate() {
        let id = format!("case-{number}");
        let headers = format!("X-ROAD-ID: {id}\r\nX-cAsE: {size}\r\n");
        let answer = wire.ask(with_body("POST", ECHO, &headers, &vec![b'x'; size])).await;
        assert_eq!((answer.status, answer.code()), (200, None), "{answer:?}");
        let kept = container(server, PORTAL, &id, false).await;
        let kept = lines(&kept.message);
        assert_eq!(
            kept[2..5],
            [
                format!("X-Road-Client:{PORTAL}"),
                format!("X-ROAD-ID:{id}"),
                format!("X-cAsE:{size}"),
            ]
        );
    }
    ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_a_response() {
    let (ecosystem, _provider) = scene_with(|_| {
        let headers = "X-One: 1\r\nsERVER: me\r\nKeep-Alive: timeout=5\r\nx-Two:  2 \r\n\
            X-Road-Id: theirs\r\nX-Road-Request-Hash: theirs\r\nX-Road-Client: DEV/GOV/1/x\r\n\
            Set-Cookie: a=1\r\nContent-Type: text/x; charset=utf-8\r\nset-cookie: b=2\r\n";
        response("299 Quite Right", headers, b"ok")
    })
    .await;
    let answer = portal(&ecosystem, get(ECHO, "X-Road-Id: r\r\n")).await;
    assert_eq!(answer.status, 299, "{answer:?}");
    let server = ecosystem.server("ss1").unwrap();
    let request = container(server, PORTAL, "r", false).await;
    let kept = container(server, PORTAL, "r", true).await;
    let request_id = rest::RestRequest::parse(&request.message).unwrap().request_id;
    let hash = rest::request_hash(&request.message, None);
    assert_eq!(
        lines(&kept.message),
        [
            "299",
            "Quite Right",
            "X-One:1",
            "x-Two:2",
            "Set-Cookie:a=1",
            "Content-Type:text/x; charset=utf-8",
            "set-cookie:b=2",
            "x-road-id:r",
            &format!("x-road-client:{PORTAL}"),
            "x-road-service:DEV/GOV/1001/population/echo",
            &format!("x-road-request-id:{request_id}"),
            &format!("x-road-request-hash:{hash}"),
        ]
    );
    for line in lines(&kept.message).iter().skip(2) {
        let (name, value) = line.split_once(':').unwrap();
        let there = |(n, v): &(String, String)| n.eq_ignore_ascii_case(name) && v == value;
        assert!(answer.headers.iter().any(there), "{line} is not in {answer:?}");
    }
    assert_eq!(answer.header("server"), None);
    let theirs = container(ecosystem.server("ss2").unwrap(), POPULATION, "r", true).await;
    assert_eq!(theirs.message, kept.message);
    ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies() {
    let (ecosystem, provider) = scene_with(|seen| {
        let kind = seen.header("content-type").unwrap_or("none").to_owned();
        response("200 OK", &format!("Content-Type: {kind}\r\n"), &seen.body)
    })
    .await;
    let server = ecosystem.server("ss1").unwrap();
    let binary: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let (small, tricky) = (&binary[..1000], b"--x\r\n\r\n--x--\r\n\0\r\n".as_slice());
    for (number, body) in [small, tricky, &binary, b"\n", b"{}"].into_iter().enumerate() {
        for verb in ["POST", "PUT", "PATCH", "DELETE", "GET"] {
            let id = format!("{verb}-{number}");
            let headers = format!("X-Road-Id: {id}\r\nContent-Type: x/{number}\r\n");
            let answer = portal(&ecosystem, with_body(verb, ECHO, &headers, body)).await;
            assert_eq!((answer.status, answer.code()), (200, None), "{answer:?}");
            assert!(answer.body == body && provider.last().body == body, "{id}");
            assert_eq!(answer.header("content-type"), Some(format!("x/{number}").as_str()));
            let kept = container(server, PORTAL, &id, false).await;
            assert_eq!(kept.attachments.len(), 1);
            assert_eq!(kept.attachments[0].content().unwrap(), body);
            let digest = DigestAlgorithm::Sha512.digest(body);
            let hash = rest::request_hash(&kept.message, Some(&digest));
            assert_eq!(answer.header("x-road-request-hash"), Some(hash.as_str()));
        }
    }

    // Chunks are put together again.
    let mut chunked = get(ECHO, "X-Road-Id: chunked\r\nTransfer-Encoding: chunked\r\n");
    chunked.push_str("3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n");
    let answer = portal(&ecosystem, chunked.replace("GET ", "POST ")).await;
    assert_eq!(
        (answer.text().as_str(), provider.last().body.as_slice()),
        ("abcdefg", b"abcdefg".as_slice())
    );

    // An empty body is no body; neither has a part of its own in the evidence.
    for (id, request) in [
        ("empty", with_body("POST", ECHO, "X-Road-Id: empty\r\n", b"")),
        ("none", get(ECHO, "X-Road-Id: none\r\n").into_bytes()),
    ] {
        let answer = portal(&ecosystem, request).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{answer:?}");
        let kept = container(server, PORTAL, id, false).await;
        assert_eq!(kept.attachments.len(), 0, "{id}");
        let hash = rest::request_hash(&kept.message, None);
        assert_eq!(answer.header("x-road-request-hash"), Some(hash.as_str()));
    }
    all_hold(&ecosystem, &["POST-2", "GET-0", "chunked", "empty", "none"]).await;
    ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_every_kind() {
    let (ecosystem, _provider) = scene_with(|seen| match seen.target() {
        "GET /base/204" => b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n".to_vec(),
        "GET /base/304" => b"HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\n\r\n".to_vec(),
        "GET /base/302" => {
            response("302 Found", "Location: http://elsewhere.example/x?y\r\n", b"moved")
        }
        "GET /base/404" => {
            response("404 Not Found", "Content-Type: text/plain\r\n", b"no such thing")
        }
        "GET /base/500" => response("500 Oh no", "", b"failed"),
        "GET /base/401" => response("401 Who", "WWW-Authenticate: Basic\r\n", b""),
        "GET /base/error" => response("200 OK", "X-Road-Error: theirs\r\n", b"x"),
        "GET /base/chunks" => {
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
                .to_vec()
        }
        "HEAD /base" => b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 77\r\n\r\n".to_vec(),
        _ => response("200 OK", "", b""),
    })
    .await;
    for (path, status, header, body) in [
        ("204", 204, Some(("x-a", "1")), ""),
        ("304", 304, Some(("etag", "\"e\"")), ""),
        ("302", 302, Some(("location", "http://elsewhere.example/x?y")), "moved"),
        ("404", 404, Some(("content-type", "text/plain")), "no such thing"),
        ("500", 500, None, "failed"),
        ("401", 401, Some(("www-authenticate", "Basic")), ""),
        ("error", 200, Some(("x-road-error", "theirs")), "x"),
        ("chunks", 200, None, "abc"),
        ("empty", 200, None, ""),
    ] {
        let request = get(&format!("{ECHO}/{path}"), &format!("X-Road-Id: {path}\r\n"));
        let answer = portal(&ecosystem, request).await;
        assert_eq!((answer.status, answer.text().as_str()), (status, body), "{answer:?}");
        if let Some((name, value)) = header {
            assert_eq!(answer.header(name), Some(value));
        }
        assert_eq!(answer.header("x-road-id"), Some(path));
    }
    let head = get(ECHO, "X-Road-Id: head\r\n").replace("GET ", "HEAD ");
    let answer = portal(&ecosystem, head).await;
    assert_eq!((answer.status, answer.header("x-a")), (200, Some("1")), "{answer:?}");

    // An id that the client program does not give is made.
    let answer = portal(&ecosystem, get(ECHO, "")).await;
    let made = answer.header("x-road-id").unwrap();
    made.strip_prefix("DEV-").unwrap().parse::<uuid::Uuid>().unwrap();
    all_hold(&ecosystem, &["204", "304", "302", "404", "500", "chunks", "head", "empty", made])
        .await;
    ecosystem.stop().await;
}

/// The containers of these messages are valid and complete, in both servers' logs.
async fn all_hold(ecosystem: &Ecosystem, ids: &[&str]) {
    ecosystem.stamp_now().await.unwrap();
    let (_, conf) = evidence::configuration(ecosystem).await.unwrap();
    for id in ids {
        for (server, owner) in [("ss1", PORTAL), ("ss2", POPULATION)] {
            for response in [false, true] {
                let server = ecosystem.server(server).unwrap();
                let kept = container(server, owner, id, response).await;
                let report = auditor::judge(&kept, &conf, None);
                assert!(report.is_valid() && report.complete, "{id}: {report:?}");
            }
        }
    }
}
