//! The parameters of `GET /asic`: bounded, decoded strictly, each at most once.

use causeway_identifiers::ClientId;

/// The longest query string, in bytes.
const MAX_QUERY: usize = 16 * 1024;
/// The most parameters, known or not.
const MAX_PARAMETERS: usize = 32;
/// The longest value, decoded, in bytes.
const MAX_VALUE: usize = 4096;

const INSTANCE: &str = "xRoadInstance";
const CLASS: &str = "memberClass";
const CODE: &str = "memberCode";
const SUBSYSTEM: &str = "subsystemCode";
const QUERY_ID: &str = "queryId";
const REQUEST_ONLY: &str = "requestOnly";
const RESPONSE_ONLY: &str = "responseOnly";
const UNIQUE: &str = "unique";
const FORCE: &str = "force";
const KNOWN: [&str; 9] =
    [INSTANCE, CLASS, CODE, SUBSYSTEM, QUERY_ID, REQUEST_ONLY, RESPONSE_ONLY, UNIQUE, FORCE];

/// The known parameters that were given, decoded. Others are passed over, as X-Road does.
#[derive(Debug, Default)]
pub(super) struct Parameters(Vec<(&'static str, String)>);

/// Which records are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) message_id: String,
    /// Only responses, only requests, or both.
    pub(super) response: Option<bool>,
}

impl Parameters {
    /// Reads a query string. The error is for the client program.
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        if query.len() > MAX_QUERY {
            return Err(format!("The query is longer than {MAX_QUERY} bytes."));
        }
        let mut parameters = Self::default();
        for (count, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
            if count == MAX_PARAMETERS {
                return Err(format!("There are more than {MAX_PARAMETERS} parameters."));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).ok_or("A parameter's name is not properly encoded.")?;
            let Some(known) = KNOWN.into_iter().find(|known| *known == name) else { continue };
            let value = decode(value)
                .ok_or_else(|| format!("Parameter \"{known}\" is not properly encoded."))?;
            if value.len() > MAX_VALUE {
                return Err(format!("Parameter \"{known}\" is longer than {MAX_VALUE} bytes."));
            }
            if parameters.has(known) {
                return Err(format!("Parameter \"{known}\" is given more than once."));
            }
            parameters.0.push((known, value));
        }
        Ok(parameters)
    }

    /// The client whose records are wanted.
    pub(super) fn client(&self) -> Result<ClientId, String> {
        let (instance, class, code) =
            (self.required(INSTANCE)?, self.required(CLASS)?, self.required(CODE)?);
        ClientId::new(instance, class, code, self.value(SUBSYSTEM)).map_err(|e| e.to_string())
    }

    /// Which of its records are wanted.
    pub(super) fn wanted(&self) -> Result<Wanted, String> {
        let message_id = self.required(QUERY_ID)?.to_owned();
        let response = match (self.has(REQUEST_ONLY), self.has(RESPONSE_ONLY)) {
            (true, true) => {
                return Err(format!(
                    "Parameters \"{REQUEST_ONLY}\" and \"{RESPONSE_ONLY}\" cannot be used at the same time."
                ));
            }
            (false, false) => None,
            (_, response) => Some(response),
        };
        Ok(Wanted { message_id, response })
    }

    /// Whether one container alone is wanted. Not without saying which of the two.
    pub(super) fn unique(&self, response: Option<bool>) -> Result<bool, String> {
        if self.has(UNIQUE) && response.is_none() {
            return Err(format!(
                "Parameter \"{UNIQUE}\" not applicable without \"{REQUEST_ONLY}\" or \"{RESPONSE_ONLY}\"."
            ));
        }
        Ok(self.has(UNIQUE))
    }

    /// Whether missing timestamps are to be made.
    pub(super) fn force(&self) -> bool {
        self.has(FORCE)
    }

    fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    fn required(&self, name: &str) -> Result<&str, String> {
        // Two spaces, as X-Road writes it.
        self.value(name).ok_or_else(|| format!("Parameter \"{name}\"  must be specified."))
    }
}

/// Form decoding; `None` when an escape is broken or the result is not UTF-8 or has control characters.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains(char::is_control))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    const CLIENT: &str = "xRoadInstance=AA&memberClass=GOV&memberCode=1";

    fn parse(rest: &str) -> Parameters {
        Parameters::parse(&format!("{CLIENT}{rest}")).unwrap()
    }

    #[test]
    fn parameters_are_read() {
        let parameters =
            parse("&subsystemCode=a+b%2Fc%C3%A9&queryId=q%2B1&requestOnly&other=x&other=y&force=");
        assert_eq!(parameters.client().unwrap().subsystem_code(), Some("a b/cé"));
        let wanted = parameters.wanted().unwrap();
        assert_eq!(wanted, Wanted { message_id: "q+1".into(), response: Some(false) });
        assert!(parameters.force() && !parameters.unique(Some(true)).unwrap());
        assert_eq!(parse("&queryId=1&responseOnly=false").wanted().unwrap().response, Some(true));
        assert_eq!(parse("&&queryId=1&").wanted().unwrap().response, None);
    }

    #[test]
    fn what_is_missing_is_named() {
        for name in ["xRoadInstance", "memberClass", "memberCode"] {
            let query = CLIENT.replace(name, "x");
            let error = Parameters::parse(&query).unwrap().client().unwrap_err();
            assert_eq!(error, format!("Parameter \"{name}\"  must be specified."));
        }
        assert!(parse("").wanted().unwrap_err().contains("queryId"));
        assert!(parse("&queryId=1&requestOnly&responseOnly").wanted().is_err());
        assert!(parse("&unique").unique(None).unwrap_err().contains("not applicable without"));
        assert!(parse("&subsystemCode=").client().is_err());
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        for query in [
            "queryId=1&queryId=1",
            "queryId=1&query%49d=2",
            "force&force",
            "queryId=%",
            "queryId=%4",
            "queryId=%zz",
            "queryId=%+1",
            "queryId=%ff",
            "queryId=%00",
            "%ff=1",
        ] {
            assert!(Parameters::parse(query).is_err(), "{query}");
        }
        assert!(Parameters::parse(&"a&".repeat(33)).is_err());
        assert!(Parameters::parse(&format!("queryId={}", "a".repeat(MAX_VALUE + 1))).is_err());
        assert!(Parameters::parse(&"a".repeat(MAX_QUERY + 1)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_can_be_asked(query in ".{0,200}") {
            if let Ok(parameters) = Parameters::parse(&query) {
                let _ = (parameters.client(), parameters.wanted(), parameters.unique(None));
            }
        }

        #[test]
        fn encoded_values_come_back(value in "[^\\p{Cc}]{0,60}") {
            let encoded: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
            prop_assert_eq!(decode(&encoded), Some(value));
        }
    }
}
