#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;

fn header(name: &str, value: &str) -> Header {
    (name.to_owned(), value.to_owned())
}

fn request(headers: Vec<Header>) -> Result<RestRequest, Fault> {
    RestRequest::from_http(
        "GET",
        "/r1/DEV/GOV/1/Population/child/per%20sons",
        Some("a=b&c"),
        headers,
        "rid",
        || "DEV-1".into(),
    )
}

#[test]
fn a_request_block_to_the_byte() {
    let made = request(vec![
        header("X-Road-Client", "DEV/GOV/2/Portal"),
        header("Host", "localhost"),
        header("User-Agent", "curl"),
        header("Accept", "*/*"),
        header("X-Road-Request-Id", "forged"),
        header("x-road-request-hash", "forged"),
        header("X-Custom", " kept as is "),
    ])
    .unwrap();
    let block = made.to_block();
    assert_eq!(
        std::str::from_utf8(&block).unwrap(),
        "GET\r\n/r1/DEV/GOV/1/Population/child/per%20sons?a=b&c\r\nX-Road-Client:DEV/GOV/2/Portal\r\n\
         Accept:*/*\r\nX-Custom: kept as is \r\nx-road-request-id:rid\r\nx-road-id:DEV-1\r\n"
    );
    assert_eq!(made.service_path, "/per%20sons");
    assert_eq!(made.service.to_string(), "SERVICE:DEV/GOV/1/Population/child");
    assert_eq!(RestRequest::parse(&block).unwrap(), made);
}

#[test]
fn a_response_block_to_the_byte() {
    let request =
        request(vec![header("X-Road-Client", "DEV/GOV/2/Portal"), header("X-Road-Id", "id-7")])
            .unwrap();
    let response = RestResponse::from_http(
        200,
        "OK",
        vec![
            header("Content-Type", "application/json"),
            header("Server", "x"),
            header("X-Road-Service", "forged"),
        ],
        &request,
        "aGFzaA==",
    );
    let block = response.to_block();
    assert_eq!(
        std::str::from_utf8(&block).unwrap(),
        "200\r\nOK\r\nContent-Type:application/json\r\nx-road-id:id-7\r\nx-road-client:DEV/GOV/2/Portal\r\n\
         x-road-service:DEV/GOV/1/Population/child\r\nx-road-request-id:rid\r\nx-road-request-hash:aGFzaA==\r\n"
    );
    let read = RestResponse::parse(&block).unwrap();
    assert_eq!(read, response);
    read.check_answers(&request, "aGFzaA==").unwrap();
    assert_eq!(
        read.check_answers(&request, "b3RoZXI=").unwrap_err().code(),
        codes::INCONSISTENT_RESPONSE
    );
    let sender = crate::sender_of(&block).unwrap();
    assert!(sender.response);
    assert_eq!(sender.client.to_short(), "DEV/GOV/1/Population");
}

#[test]
fn repeated_identity_headers_are_refused() {
    let fault = request(vec![
        header("X-Road-Client", "DEV/GOV/2/A"),
        header("x-road-client", "DEV/GOV/2/B"),
    ])
    .unwrap_err();
    assert_eq!(fault.code(), "client.duplicate_header_field");
}

#[test]
fn a_peers_block_with_two_clients_is_read_and_refused() {
    let block =
        "GET\r\n/r1/D/G/1/P/s\r\nx-road-client:D/G/2\r\nX_Road_Client:D/G/3\r\nx-road-id:1\r\n";
    let request = RestRequest::parse(block.as_bytes()).unwrap();
    assert_eq!(
        request.refuse_repeated_identity().unwrap_err().code(),
        codes::DUPLICATE_HEADER_FIELD
    );
}

#[test]
fn header_floods_and_backslashes_are_refused() {
    let flood: String = (0..1001).map(|i| format!("h{i}:1\r\n")).collect();
    let block = format!("GET\r\n/r1/D/G/1/P/s\r\nx-road-client:D/G/2\r\nx-road-id:1\r\n{flood}");
    assert!(RestRequest::parse(block.as_bytes()).is_err());
    let path = "GET\r\n/r1/D/G/1/P/s/a\\b\r\nx-road-client:D/G/2\r\nx-road-id:1\r\n";
    assert!(RestRequest::parse(path.as_bytes()).is_err());
}

#[test]
fn what_cannot_be_read_has_a_code() {
    assert_eq!(request(vec![]).unwrap_err().code(), codes::INVALID_CLIENT_IDENTIFIER);
    assert_eq!(
        request(vec![header("X-Road-Client", "DEV/GOV")]).unwrap_err().code(),
        codes::INTERNAL_ERROR
    );
    assert_eq!(
        request(vec![header("X-Road-Client", "DEV/GOV/a b/S")]).unwrap_err().code(),
        codes::INTERNAL_ERROR
    );
    let client = || vec![header("X-Road-Client", "DEV/GOV/2/Portal")];
    let made = |verb: &str, path: &str| {
        RestRequest::from_http(verb, path, None, client(), "r", || "i".into())
    };
    assert!(made("GET", "/r1/DEV/GOV/1/Population").is_err());
    assert!(made("GET", "/r2/DEV/GOV/1/Population/x").is_err());
    assert!(made("BREW", "/r1/DEV/GOV/1/Population/x").is_err());
    assert!(made("GET", "/r1/DEV/GOV/1//x").is_err());
    assert!(made("GET", "/r1/DEV/GOV/1/Population/x").is_ok());
    for block in [
        "",
        "GET\r\n",
        "GET\r\n/r1/D/G/1/P/s\r\nx-road-client:D/G/1\r\nx-road-id:1\r\n\r\n",
        "200\r\nOK\r\nhost:x\r\n",
    ] {
        assert!(crate::sender_of(block.as_bytes()).is_err(), "{block:?}");
    }
}

#[test]
fn the_request_hash_has_two_forms() {
    let one = digest(&SHA512, b"block");
    assert_eq!(request_hash(b"block", None), BASE64.encode(one));
    let mut both = one.as_ref().to_vec();
    both.extend_from_slice(digest(&SHA512, b"body").as_ref());
    assert_eq!(
        request_hash(b"block", Some(digest(&SHA512, b"body").as_ref())),
        BASE64.encode(digest(&SHA512, &both))
    );
}

proptest! {
    #[test]
    fn blocks_round_trip(names in proptest::collection::vec("[A-Za-z][A-Za-z0-9-]{0,12}", 0..6), value in "[^\\p{Cc}]{0,30}") {
        let mut headers: Vec<Header> = names.into_iter().map(|n| (n, value.clone())).collect();
        headers.push(header("X-Road-Client", "DEV/GOV/2/Portal"));
        if let Ok(made) = request(headers) {
            prop_assert_eq!(RestRequest::parse(&made.to_block()).unwrap(), made);
        }
    }

    #[test]
    fn reading_never_panics(block in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = crate::sender_of(&block);
    }

    #[test]
    fn reading_nearly_right_text_never_panics(text in "(GET|200)\r\n[/r1A-Z%0-9a-z?]{0,40}\r\n([a-z-]{1,20}:[A-Z/%]{0,20}\r\n){0,4}") {
        let _ = crate::sender_of(text.as_bytes());
    }
}

#[test]
fn header_bytes_come_back() {
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(header_bytes(&header_text(&all)), all);
    assert_eq!(header_bytes("\u{20ac}"), b"?");
}

#[test]
fn represented_parties_have_one_or_two_parts() {
    let party = |value: &str| {
        let headers =
            vec![header("X-Road-Client", "D/G/2/S"), header("X-Road-Represented-Party", value)];
        request(headers).map(|_| ()).map_err(|fault| fault.code().to_owned())
    };
    for value in ["5", "COM/5", "COM/%35"] {
        assert_eq!(party(value), Ok(()), "{value}");
    }
    for value in ["", "/", "COM/", "a/b/c", "%zz"] {
        assert_eq!(party(value), Err(codes::INTERNAL_ERROR.to_owned()), "{value}");
    }
}
