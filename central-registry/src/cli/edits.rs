//! From commands to changes of the records.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use causeway_globalconf::EncodedCertificate;
use causeway_pki::Certificate;

use super::{
    AuthCert, Ca, CaAdd, Client, Command, Failure, Federation, Group, GroupMember, Management,
    Member, MemberClass, Policy, Server, Subsystem, Tsa,
};
use crate::edit::Edit;
use crate::records::{CaCertificateRecord, CaRecord, CertificateRecord, OcspRecord, TsaRecord};

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The change that a command asks for.
pub(super) fn of(command: Command) -> Result<Edit, Failure> {
    Ok(match command {
        Command::MemberClass(MemberClass::Add { code, description }) => {
            Edit::MemberClassAdd { code, description }
        }
        Command::MemberClass(MemberClass::Remove { code }) => Edit::MemberClassRemove { code },
        Command::Member(Member::Add { id, name }) => Edit::MemberAdd { id, name },
        Command::Member(Member::Rename { id, name }) => Edit::MemberRename { id, name },
        Command::Member(Member::Remove { id }) => Edit::MemberRemove { id },
        Command::Subsystem(Subsystem::Add { id, name }) => Edit::SubsystemAdd { id, name },
        Command::Subsystem(Subsystem::Rename { id, name }) => Edit::SubsystemRename { id, name },
        Command::Subsystem(Subsystem::Remove { id }) => Edit::SubsystemRemove { id },
        Command::Server(command) => server(command)?,
        Command::Client(Client::Add { server, client }) => Edit::ClientAdd { server, client },
        Command::Client(Client::Remove { server, client }) => Edit::ClientRemove { server, client },
        Command::Group(command) => group(command),
        Command::Ca(Ca::Add(add)) => ca(add)?,
        Command::Ca(Ca::Remove { name }) => Edit::CaRemove { name },
        Command::Tsa(Tsa::Add { name, url, cert, cost }) => {
            Edit::TsaAdd { name, tsa: TsaRecord { url, certificate: certificate(&cert)?, cost } }
        }
        Command::Tsa(Tsa::Remove { name }) => Edit::TsaRemove { name },
        Command::Federation(Federation::Add { anchor }) => {
            let text = String::from_utf8(read(&anchor)?).map_err(|_| {
                let what = format!("{} is not an anchor file", anchor.display());
                Failure::new(what, "ask the other instance's operator for its external anchor")
            })?;
            Edit::FederationAdd { anchor: text }
        }
        Command::Federation(Federation::Remove { instance }) => Edit::FederationRemove { instance },
        Command::Management(Management::Set { provider, registration_url, registration_cert }) => {
            Edit::ManagementSet {
                provider,
                registration_url,
                registration_certificate: registration_cert.map(|c| certificate(&c)).transpose()?,
            }
        }
        Command::Policy(Policy::Set {
            ocsp_freshness_seconds,
            timestamping_interval_seconds,
            ocsp_fetch_interval_seconds,
            verify_next_update,
            monitoring_client,
        }) => Edit::PolicySet {
            ocsp_freshness_seconds,
            timestamping_interval_seconds,
            ocsp_fetch_interval_seconds,
            verify_next_update,
            monitoring_client,
        },
        Command::Run { .. }
        | Command::Init
        | Command::List { .. }
        | Command::Publish
        | Command::Anchor(_)
        | Command::Requests(_)
        | Command::SigningKey(_)
        | Command::User(_)
        | Command::Audit(_) => {
            return Err(Failure::new("this command changes no record", "report this"));
        }
    })
}

fn server(command: Server) -> Result<Edit, Failure> {
    Ok(match command {
        Server::Add { id, address } => Edit::ServerAdd { id, address },
        Server::Address { id, address } => Edit::ServerAddress { id, address },
        Server::Maintenance { id, state, message } => {
            Edit::ServerMaintenance { id, on: state == "on", message }
        }
        Server::Remove { id } => Edit::ServerRemove { id },
        Server::AuthCert(AuthCert::Add { server, cert }) => {
            Edit::AuthCertificateAdd { server, certificate: certificate(&cert)? }
        }
        Server::AuthCert(AuthCert::Remove { server, sha256 }) => {
            Edit::AuthCertificateRemove { server, sha256 }
        }
    })
}

fn group(command: Group) -> Edit {
    match command {
        Group::Add { code, description } => Edit::GroupAdd { code, description },
        Group::Remove { code } => Edit::GroupRemove { code },
        Group::Member(GroupMember::Add { group, client }) => Edit::GroupMemberAdd { group, client },
        Group::Member(GroupMember::Remove { group, client }) => {
            Edit::GroupMemberRemove { group, client }
        }
    }
}

fn ca(add: CaAdd) -> Result<Edit, Failure> {
    let cost = add.ocsp_cost;
    let responder = |url: &str, file: Option<&str>| -> Result<OcspRecord, Failure> {
        let certificate = file.map(|file| certificate(Path::new(file))).transpose()?;
        Ok(OcspRecord { url: url.to_owned(), certificate, cost: cost.clone() })
    };
    let mut top = CaCertificateRecord { certificate: certificate(&add.cert)?, ocsp: Vec::new() };
    for text in &add.ocsp {
        let (url, file) = match text.split_once(',') {
            Some((url, file)) => (url, Some(file)),
            None => (text.as_str(), None),
        };
        top.ocsp.push(responder(url, file)?);
    }
    let mut intermediates = Vec::new();
    for text in &add.intermediates {
        let mut parts = text.splitn(3, ',');
        let file = Path::new(parts.next().unwrap_or_default());
        let ocsp = match (parts.next(), parts.next()) {
            (Some(url), file) => vec![responder(url, file)?],
            _ => Vec::new(),
        };
        intermediates.push(CaCertificateRecord { certificate: certificate(file)?, ocsp });
    }
    let ca = CaRecord {
        authentication_only: add.authentication_only,
        profile: add.profile,
        top,
        intermediates,
        acme_url: add.acme_url,
        acme_addresses: add.acme_addresses,
        csr_format: add.csr_format,
    };
    Ok(Edit::CaAdd { name: add.name, ca: Box::new(ca) })
}

pub(super) fn certificate(path: &Path) -> Result<CertificateRecord, Failure> {
    let certificate = Certificate::from_der_or_pem(&read(path)?).map_err(|e| {
        let next = "give a certificate file in PEM or DER form";
        Failure::new(format!("{}: {e}", path.display()), next)
    })?;
    Ok(CertificateRecord(EncodedCertificate::from(&certificate)))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let result = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
    match result {
        Err(e) => {
            Err(Failure::new(format!("{}: {e}", path.display()), "name a file that can be read"))
        }
        Ok(_) if bytes.len() as u64 > MAX_FILE => {
            let what = format!("{} is longer than {MAX_FILE} bytes", path.display());
            Err(Failure::new(what, "name the right file"))
        }
        Ok(_) => Ok(bytes),
    }
}

/// A change in words, once it is made.
pub(super) fn told(edit: &Edit) -> String {
    match edit {
        Edit::MemberClassAdd { code, .. } => format!("added member class {code}"),
        Edit::MemberClassDescribe { code, .. } => format!("described member class {code}"),
        Edit::MemberClassRemove { code } => format!("removed member class {code}"),
        Edit::MemberAdd { id, .. } => format!("added {id}"),
        Edit::MemberRename { id, .. } => format!("renamed {id}"),
        Edit::MemberRemove { id } => format!("removed {id}"),
        Edit::SubsystemAdd { id, .. } => format!("added {id}"),
        Edit::SubsystemRename { id, .. } => format!("renamed {id}"),
        Edit::SubsystemRemove { id } => format!("removed {id}"),
        Edit::ServerAdd { id, .. } => format!("added {id}"),
        Edit::ServerAddress { id, address } => format!("{id} is at {address}"),
        Edit::ServerMaintenance { id, on: true, .. } => format!("{id} is out of service"),
        Edit::ServerMaintenance { id, .. } => format!("{id} is back in service"),
        Edit::ServerRemove { id } => format!("removed {id}"),
        Edit::AuthCertificateAdd { server, .. } => {
            format!("registered an authentication certificate of {server}")
        }
        Edit::AuthCertificateRemove { server, .. } => {
            format!("removed an authentication certificate of {server}")
        }
        Edit::ClientAdd { server, client } => format!("registered {client} at {server}"),
        Edit::ClientRemove { server, client } => format!("removed {client} from {server}"),
        Edit::GroupAdd { code, .. } => format!("added group {code}"),
        Edit::GroupDescribe { code, .. } => format!("described group {code}"),
        Edit::GroupRemove { code } => format!("removed group {code}"),
        Edit::GroupMemberAdd { group, client } => format!("added {client} to group {group}"),
        Edit::GroupMemberRemove { group, client } => format!("removed {client} from group {group}"),
        Edit::CaAdd { name, .. } => format!("approved certification service '{name}'"),
        Edit::CaRemove { name } => format!("removed certification service '{name}'"),
        Edit::TsaAdd { name, .. } => format!("approved timestamping authority '{name}'"),
        Edit::TsaRemove { name } => format!("removed timestamping authority '{name}'"),
        Edit::FederationAdd { .. } => "federated with the anchor's instance".to_owned(),
        Edit::FederationRemove { instance } => format!("ended the federation with {instance}"),
        Edit::ManagementSet { provider, .. } => {
            format!("{provider} provides the management services")
        }
        Edit::PolicySet { .. } => "changed the policy".to_owned(),
    }
}
