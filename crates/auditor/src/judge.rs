//! The judgement, in X-Road's order (`AsicContainerVerifier.verify`).

use std::sync::Arc;

use bytes::Bytes;
use causeway_asic::{AsicError, Container, entry};
use causeway_console::{name, readable, time};
use causeway_globalconf::GlobalConf;
use causeway_message::{Fault, Sender, sender_of};
use causeway_pki::ocsp::{self, OcspResponse};
use causeway_pki::tsp::{TimestampToken, TspError};
use causeway_pki::{Certificate, DigestAlgorithm, KeyKind};
use causeway_signature::hashchain::DigestValue;
use causeway_signature::verify::{
    self, Absent, ChainDocuments, Content, Coverage, Part, Verified, judge_coverage,
};
use causeway_signature::xades::SignatureDocument;
use causeway_signature::{MESSAGE, SIGNATURE_CHAIN_RESULT, SignatureError};
use time::{Duration, OffsetDateTime};

use crate::chains::{judge_timestamp_chain, stated_algorithms, stated_digests};
use crate::remember::{KnownDocument, KnownSigner, KnownToken, Memory};
use crate::report::{
    Check, Failure, MessageFacts, NotCovered, OcspFacts, Report, SignerFacts, TimestampFacts,
    Verdict,
};
use crate::rules;

/// How far clocks of honest servers differ.
const CLOCK_SKEW: Duration = Duration::minutes(5);

/// Judges a container against a global configuration.
///
/// Certificates and OCSP responses are judged as of the timestamp, or as of `at` where that is
/// given; a container without a timestamp can be judged only with `at`. Whether the global
/// configuration has expired does not matter.
pub fn judge(container: &Container, conf: &GlobalConf, at: Option<OffsetDateTime>) -> Report {
    Judging::new(conf, at).judge(container)
}

/// Judges many containers as [`judge`] does each of them. What they have in common (signature documents, timestamps,
/// certificates with their OCSP responses) is judged once. Safe to share among threads.
pub struct Judging<'c> {
    conf: &'c GlobalConf,
    at: Option<OffsetDateTime>,
    memory: Memory,
}

impl std::fmt::Debug for Judging<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judging").field("at", &self.at).finish_non_exhaustive()
    }
}

impl<'c> Judging<'c> {
    /// For containers of one global configuration; `at` as for [`judge`].
    pub fn new(conf: &'c GlobalConf, at: Option<OffsetDateTime>) -> Self {
        Self { conf, at, memory: Memory::default() }
    }

    /// Judges a container.
    pub fn judge(&self, container: &Container) -> Report {
        let Self { conf, at, memory } = self;
        let mut judge = Judge { container, conf, at: *at, memory, report: Report::new() };
        match judge.run() {
            Ok(()) => judge.report.verdict = Verdict::Valid,
            Err(failure) => judge.report.failure = Some(failure),
        }
        judge.note_uncovered_entries();
        judge.report
    }

    /// The configuration by which is judged.
    pub fn configuration(&self) -> &'c GlobalConf {
        self.conf
    }
}

/// The report on a file that is not a container, or not one that is safe to read.
pub fn refuse(error: &AsicError) -> Report {
    let mut report = Report::new();
    report.checks.push(Check { name: "container structure", passed: false });
    report.failure = Some(structure_failure(error));
    report
}

fn structure_failure(error: &AsicError) -> Failure {
    let rule = match error {
        AsicError::InvalidSignatureXml(text) => rules::stricter_by_text(text),
        _ if error.is_stricter_than_xroad() => {
            Some("an archive must read the same in every reader, and stay within bounds")
        }
        _ => None,
    };
    failure(error.code(), error.to_string(), rule.map(str::to_owned))
}

fn failure(code: &str, message: String, stricter_rule: Option<String>) -> Failure {
    Failure {
        code: code.to_owned(),
        message: readable(&message),
        stricter_rule,
        next_step: rules::next_step(code).to_owned(),
    }
}

fn signature_failure(error: &SignatureError) -> Failure {
    failure(&error.code(), error.to_string(), rules::stricter(error).map(str::to_owned))
}

struct Judge<'j> {
    container: &'j Container,
    conf: &'j GlobalConf,
    at: Option<OffsetDateTime>,
    memory: &'j Memory,
    report: Report,
}

impl Judge<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        let structure = self.structure();
        self.check("container structure", structure)?;
        let known =
            self.memory.document(&self.container.signatures).map_err(|e| signature_failure(&e));
        let known = self.check("signature document", known)?;
        let document = &known.document;
        self.note_signature(document);
        self.note_digests(document);
        let sender = sender_of(&self.container.message);
        self.note_message(sender.as_ref().ok());
        let required = required_reference(document);
        self.check("reference to the message", required)?;
        let stamped_at = self.timestamp(document)?;
        let at =
            self.at.or(stamped_at).ok_or_else(|| structure_failure(&AsicError::NoTimestamp))?;
        self.report.judged_at = Some(at);
        self.signature(&known, sender, at)
    }

    /// Notes how a check went.
    fn check<T>(&mut self, name: &'static str, outcome: Result<T, Failure>) -> Result<T, Failure> {
        self.report.checks.push(Check { name, passed: outcome.is_ok() });
        outcome
    }

    fn structure(&mut self) -> Result<(), Failure> {
        if !self.container.media_type_first {
            let text = "The media type is not the archive's first entry: X-Road accepts that, but other \
                readers of signed containers do not open the file.";
            self.report.notes.push(text.into());
        }
        match self.container.check() {
            Err(AsicError::NoTimestamp) if self.at.is_some() => {
                self.report.notes.push(
                    "There is no timestamp: nothing but your own --at tells when this was signed. X-Road \
                     refuses such a container (malformed_signature)."
                        .into(),
                );
                Ok(())
            }
            Err(AsicError::MessageNotFound) => {
                let older = self.container.extra.iter().find(|e| e.name.ends_with("-message.xml"));
                let text = older.map_or_else(
                    || AsicError::MessageNotFound.to_string(),
                    |e| {
                        format!(
                            "the container has '{}' in place of 'message.xml': it is of a generation before X-Road 6",
                            e.name
                        )
                    },
                );
                Err(failure(AsicError::MessageNotFound.code(), text, None))
            }
            other => other.map_err(|e| structure_failure(&e)),
        }
    }

    fn note_signature(&mut self, document: &SignatureDocument) {
        self.report.signing_time = document.signing_time();
        self.report.signer = document.certificate().map(|certificate| SignerFacts {
            certificate: certificate.into(),
            member: None,
            algorithm: document.algorithm().uri(),
        });
        let weak_key = document
            .certificate()
            .is_some_and(|c| matches!(c.key_kind(), KeyKind::Rsa { bits } if bits < 2048));
        if weak_key || document.algorithm().digest() == DigestAlgorithm::Sha1 {
            let text = "The signature is of a strength that is no longer used (RSA below 2048 bits, or \
                SHA-1): it proves what it did when it was made.";
            self.report.notes.push(text.into());
        }
    }

    /// Notes where digests are used of which somebody may have made two files with the same.
    fn note_digests(&mut self, document: &SignatureDocument) {
        let container = self.container;
        let references: Vec<_> =
            document.references().iter().map(|reference| reference.digest.algorithm).collect();
        let in_chains = |parts: [&Option<Bytes>; 2]| {
            parts.into_iter().flatten().flat_map(|part| stated_algorithms(part)).collect()
        };
        let places: [(&str, Vec<DigestAlgorithm>); 3] = [
            ("the signature's references", references),
            (
                "the signature's hash chain",
                in_chains([&container.sig_hash_chain_result, &container.sig_hash_chain]),
            ),
            (
                "the timestamp's hash chain",
                in_chains([&container.ts_hash_chain_result, &container.ts_hash_chain]),
            ),
        ];
        for weak in [DigestAlgorithm::Sha1, DigestAlgorithm::Sha224] {
            let found = places.iter().filter(|(_, used)| used.contains(&weak));
            let found: Vec<&str> = found.map(|(place, _)| *place).collect();
            if !found.is_empty() {
                self.report.notes.push(format!(
                    "{} is used in {}: it is no longer held to be strong enough, and proves what it did \
                     when it was made.",
                    weak.name(),
                    found.join(" and in ")
                ));
            }
        }
    }

    fn note_message(&mut self, sender: Option<&Sender>) {
        self.report.message = sender.map(|sender| MessageFacts {
            response: sender.response,
            id: sender.message_id.clone(),
            sender: sender.client.to_string(),
            service: sender.service.as_ref().map(ToString::to_string),
        });
    }

    /// Judges the timestamp, and gives its time.
    fn timestamp(
        &mut self,
        document: &SignatureDocument,
    ) -> Result<Option<OffsetDateTime>, Failure> {
        let container = self.container;
        let inside = document.timestamps();
        let (token, unread) = match &container.timestamp {
            Some(token) => (&token[..], inside.len()),
            None => match inside.split_first() {
                Some((first, others)) => (&first[..], others.len()),
                None => return Ok(None),
            },
        };
        if unread > 0 {
            let text = "The signature holds more timestamps than the one that was judged.";
            self.report.notes.push(text.into());
        }
        let known = self.memory.token(token);
        let read = match &known {
            Some(known) => Ok(known.token.clone()),
            None => TimestampToken::parse(token).map_err(|e| timestamp_failure(&e)),
        };
        let token = self.check("timestamp token", read)?;
        let stamped = match &container.ts_hash_chain_result {
            Some(result) => {
                let chain = judge_timestamp_chain(container, result).map_err(|(text, rule)| {
                    failure("malformed_signature", text, rule.map(str::to_owned))
                });
                self.check("timestamp's hash chain", chain)?;
                &result[..]
            }
            None => document.value(),
        };
        self.report.timestamp = Some(TimestampFacts {
            time: token.gen_time(),
            batch: container.ts_hash_chain_result.is_some(),
            authority: None,
            serial: hex::encode(token.serial()),
        });
        let known = known.filter(|known| {
            let (algorithm, imprint) = known.token.imprint();
            algorithm.digest(stamped) == imprint
        });
        let known = match known {
            Some(known) => Ok(known),
            None => token.verify(stamped, self.conf.tsa_certificates()).map(|authority| {
                let facts = (&authority).into();
                let known = Arc::new(KnownToken { token: token.clone(), authority, facts });
                self.memory.remember_token(token.der(), Arc::clone(&known));
                known
            }),
        };
        let known = self.check("timestamp", known.map_err(|e| timestamp_failure(&e)))?;
        if !known.authority.is_valid_at(token.gen_time()) {
            let text = "The certificate of the timestamping authority was not valid at the time of the \
                timestamp; X-Road does not look at that.";
            self.report.notes.push(text.into());
        }
        if document.signing_time().is_some_and(|claimed| claimed > token.gen_time() + CLOCK_SKEW) {
            let text = "The signer claims to have signed after the timestamp was made.";
            self.report.notes.push(text.into());
        }
        if let Some(facts) = &mut self.report.timestamp {
            facts.authority = Some(known.facts.clone());
        }
        Ok(Some(token.gen_time()))
    }

    fn signature(
        &mut self,
        known: &KnownDocument,
        sender: Result<Sender, Fault>,
        at: OffsetDateTime,
    ) -> Result<(), Failure> {
        let document = &known.document;
        let container = self.container;
        let digests: Vec<(String, DigestValue)> = container
            .attachments
            .iter()
            .map(|attachment| {
                let algorithm = DigestAlgorithm::Sha512;
                let value = attachment.sha512().to_vec();
                (format!("/{}", attachment.name()), DigestValue { algorithm, value })
            })
            .collect();
        let message = Part { name: MESSAGE, content: Content::Bytes(&container.message) };
        let attachments =
            container.attachments.iter().zip(&digests).map(|(kept, (name, digest))| {
                let content = kept.content().map_or(Content::Digest(digest), |b| Content::Bytes(b));
                Part { name, content }
            });
        let parts: Vec<Part<'_>> = std::iter::once(message).chain(attachments).collect();
        let chain = container
            .sig_hash_chain_result
            .as_ref()
            .zip(container.sig_hash_chain.as_ref())
            .map(|(result, chain)| ChainDocuments { result, chain });

        let sender = match sender {
            Ok(sender) => sender,
            Err(fault) => {
                // Who must have signed is not known; that the message is not the signed one may be.
                let covered = judge_coverage(document, chain, &parts, Absent::Reported)
                    .map_err(|e| signature_failure(&e));
                self.check("message and attachments", covered)?;
                let text =
                    format!("The message cannot be read, so its sender is not known: {fault}");
                return self.check("sender", Err(failure("internal_error", text, None)));
            }
        };
        let trust = self.conf;
        let client = &sender.client;
        if let Some(signer) = self.memory.signer(known, client, at)
            && known.value_holds()
            && let Ok(coverage) = judge_coverage(document, chain, &parts, Absent::Reported)
        {
            self.note_verified(document, chain, &signer, &coverage);
            return Ok(());
        }
        match verify::verify(document, chain, &parts, Absent::Reported, client, at, trust) {
            Ok(Verified { signer, coverage }) => {
                let subjects = std::iter::once(&signer.certificate)
                    .chain(document.extra().iter().map(|extra| &extra.certificate));
                let instance = signer.member.instance();
                let ocsp = subjects.filter_map(|s| ocsp_facts(trust, instance, s, &signer.ocsp));
                let signer = Arc::new(KnownSigner { ocsp: ocsp.collect(), signer });
                self.memory.remember_signer(known, client, at, Arc::clone(&signer));
                self.note_verified(document, chain, &signer, &coverage);
                Ok(())
            }
            Err(error) => {
                let mut failed = signature_failure(&error);
                let lenient = [message];
                if failed.stricter_rule.is_none()
                    && parts.len() > 1
                    && verify::verify(
                        document,
                        chain,
                        &lenient,
                        Absent::Reported,
                        client,
                        at,
                        trust,
                    )
                    .is_ok_and(|v| !covers_attachments_directly(document, &v.coverage))
                {
                    failed.stricter_rule = Some(rules::ATTACHMENT.into());
                }
                self.check(failed_check(&error), Err(failed))
            }
        }
    }

    fn note_verified(
        &mut self,
        document: &SignatureDocument,
        chain: Option<ChainDocuments<'_>>,
        known: &KnownSigner,
        coverage: &Coverage,
    ) {
        if chain.is_some() && !coverage.chain_ignored {
            self.report.checks.push(Check { name: "hash chain", passed: true });
        }
        for name in ["signing certificate", "signature value", "message and attachments"] {
            self.report.checks.push(Check { name, passed: true });
        }
        self.report.checks.push(Check { name: "certificate path", passed: true });
        self.report.checks.push(Check { name: "OCSP responses", passed: true });

        self.report.ocsp.clone_from(&known.ocsp);
        if let Some(facts) = &mut self.report.signer {
            facts.member = Some(known.signer.member.to_string());
        }
        self.note_coverage(document, chain, coverage);
    }

    fn note_coverage(
        &mut self,
        document: &SignatureDocument,
        chain: Option<ChainDocuments<'_>>,
        coverage: &Coverage,
    ) {
        self.report.complete = coverage.absent.is_empty();
        self.report.covered =
            coverage.compared.iter().map(|name| name.trim_start_matches('/').to_owned()).collect();
        let stated = match coverage.absent.is_empty() {
            true => Vec::new(),
            false => stated_digests(document, chain),
        };
        for name in &coverage.absent {
            let digest = stated.iter().find(|(uri, _)| uri == name).map(|(_, digest)| {
                format!("{}:{}", digest.algorithm.name(), hex::encode(&digest.value))
            });
            self.report.not_covered.push(NotCovered {
                name: name.trim_start_matches('/').to_owned(),
                why: "signed, but not in the container".into(),
                signed_digest: digest,
            });
            if document.reference(name).is_some() {
                self.report.notes.push(format!(
                    "X-Road refuses a container that lacks '{}' (internal_error).",
                    name.trim_start_matches('/')
                ));
            }
        }
        if coverage.chain_ignored {
            for name in [entry::SIGNATURE_CHAIN, entry::SIGNATURE_CHAIN_RESULT] {
                self.uncovered(name, "the signature does not refer to it, so it was not looked at");
            }
        }
    }

    /// Tells of the entries that no signature can cover.
    fn note_uncovered_entries(&mut self) {
        let container = self.container;
        let manifests = [
            (&container.manifest, entry::MANIFEST),
            (&container.asic_manifest, entry::ASIC_MANIFEST),
        ];
        for (_, name) in manifests.into_iter().filter(|(manifest, _)| manifest.is_some()) {
            self.uncovered(name, "a list of files, which nobody signs");
        }
        for extra in &container.extra {
            self.uncovered(&extra.name, "not part of the format, so it was not looked at");
        }
    }

    fn uncovered(&mut self, name: &str, why: &str) {
        let (name, why) = (name.to_owned(), why.to_owned());
        self.report.not_covered.push(NotCovered { name, why, signed_digest: None });
    }
}

/// What the response that vouches for a certificate says, and who said it.
fn ocsp_facts(
    conf: &GlobalConf,
    instance: &str,
    subject: &Certificate,
    responses: &[OcspResponse],
) -> Option<OcspFacts> {
    let issuer = conf.issuer_of(instance, subject)?;
    let response = responses.iter().find(|r| r.matches(subject, &issuer.certificate))?;
    let trust = conf.ocsp_trust(issuer);
    let responder = ocsp::verify_signature(response, subject, &issuer.certificate, &trust).ok();
    Some(OcspFacts {
        certificate: name(&subject.subject_rfc2253()),
        produced_at: response.produced_at(),
        this_update: response.this_update(),
        responder: responder.map(|responder| name(&responder.subject_rfc2253())),
    })
}

fn required_reference(document: &SignatureDocument) -> Result<(), Failure> {
    if document.reference(MESSAGE).is_some() || document.reference(SIGNATURE_CHAIN_RESULT).is_some()
    {
        return Ok(());
    }
    let text = format!("The signature refers neither to {MESSAGE} nor to {SIGNATURE_CHAIN_RESULT}");
    Err(failure("malformed_signature", text, None))
}

fn timestamp_failure(error: &TspError) -> Failure {
    failure(error.code(), format!("The timestamp does not hold: {error}"), None)
}

/// Whether the signature refers to attachments without a chain; then X-Road compares them too.
fn covers_attachments_directly(document: &SignatureDocument, coverage: &Coverage) -> bool {
    coverage.absent.iter().any(|name| document.reference(name).is_some())
}

/// The check that an error belongs to.
fn failed_check(error: &SignatureError) -> &'static str {
    match error {
        SignatureError::HashChain(_) => "hash chain",
        SignatureError::IncorrectCertificate(_) => "signing certificate",
        SignatureError::InvalidValue(_) => "signature value",
        SignatureError::CertificatePath { .. } => "certificate path and OCSP responses",
        _ => "signature",
    }
}

/// What the moment of judgement is called in reports.
pub(crate) fn moment(report: &Report) -> Option<String> {
    let at = report.judged_at?;
    let stamped = report.timestamp.as_ref().map(|t| t.time);
    Some(if stamped == Some(at) { "the time of the timestamp".into() } else { time(at) })
}
