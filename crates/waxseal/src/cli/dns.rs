//! `waxseal dns NAME TYPE`: a look-up that is validated from the root down, and why.

use std::{fmt::Write as _, path::PathBuf};

use serde_json::json;
use waxseal_core::{
    dns::{Answer, Authenticity, Denial, FailureKind, Proof},
    dnssec::{Name, RecordType},
};

use super::{Context, DEFAULT_CONFIG, Exit, Output, Paint};
use crate::{
    config::{self, Config},
    resolve::{Lookup, Record, Resolver, Settings, read_anchors},
};

/// Look up records and validate them: secure, insecure or bogus, and why
///
/// Exit code: 0 there are records, 1 there are none, 2 it could not be found out (bogus included).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The name: "." is the root, "*.example.com" a wildcard; U-labels are converted
    name: String,
    /// The record type: A, AAAA, MX, TLSA, TXT, TYPE52, ...
    #[arg(value_name = "TYPE", default_value = "A")]
    record_type: String,
    /// Ask this resolver instead of the configured ones: 192.0.2.53, or tls://192.0.2.53#name
    #[arg(long, value_name = "ADDRESS")]
    upstream: Vec<config::Upstream>,
    /// Begin chains of trust at the DS or DNSKEY records in this file
    #[arg(long, value_name = "FILE")]
    trust_anchors: Option<PathBuf>,
}

/// Runs it.
pub(crate) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let wrong = |text: String| Exit::Usage.because(text);
    let name: Name =
        args.name.parse().map_err(|why| wrong(format!("{:?} is not a name: {why}", args.name)))?;
    let record_type = parse_type(&args.record_type).map_err(wrong)?;
    let resolver = Resolver::new(settings(args, context)?);
    let lookup = resolver.lookup_at(&name, record_type).await;
    match context.output {
        Output::Json => context.print(format!("{}\n", as_json(&lookup)))?,
        Output::Text => context.print(as_text(&lookup, context.paint))?,
    }
    Ok(match lookup.answer {
        Answer::Found { .. } => Exit::Ok,
        Answer::Absent { .. } => Exit::Negative,
        Answer::Failed(_) => Exit::Unknown,
    })
}

fn settings(args: &Args, context: &Context) -> anyhow::Result<Settings> {
    let refuse = |error: &dyn std::fmt::Display| Exit::Config.because(error.to_string());
    // Without a configuration at its usual place, the built-in defaults do.
    let no_file = context.config.as_os_str() == DEFAULT_CONFIG && !context.config.exists();
    let (mut dns, tls) = if no_file {
        let dns = config::Dns {
            upstream: Vec::new(),
            confirm: Vec::new(),
            trust_anchors: None,
            timeout: std::time::Duration::from_secs(5),
            cache_entries: 1_000,
        };
        (dns, config::Tls { roots: config::Roots::System, identity: None })
    } else {
        let config = Config::load(&context.config).map_err(|error| refuse(&error))?;
        (config.dns, config.tls)
    };
    if !args.upstream.is_empty() {
        dns.upstream.clone_from(&args.upstream);
    }
    let mut settings = Settings::from_config(&dns, &tls).map_err(|error| refuse(&error))?;
    if let Some(path) = &args.trust_anchors {
        settings.anchors = read_anchors(path).map_err(|error| refuse(&error))?;
    }
    Ok(settings)
}

fn parse_type(text: &str) -> Result<RecordType, String> {
    let parsed: RecordType = text
        .to_ascii_uppercase()
        .parse()
        .map_err(|_| format!("{text}: no such record type; unknown ones are TYPE12345"))?;
    // RRSIG is no RRset (RFC 4034 §3); 128 to 255 are questions, not records (RFC 6895 §3.1).
    let number = parsed.to_int();
    if matches!(number, 0 | 41 | 46 | 128..=255) {
        return Err(format!("{text}: records of this type cannot be validated"));
    }
    Ok(parsed)
}

/// The word of the contract (DESIGN §9).
fn status(lookup: &Lookup<Vec<Record>>) -> &'static str {
    match (&lookup.answer, lookup.proof) {
        (Answer::Failed(why), Some(Proof::Indeterminate) | None)
            if why.kind != FailureKind::Indeterminate =>
        {
            "error"
        }
        (_, Some(Proof::Secure)) => "secure",
        (_, Some(Proof::Insecure)) => "insecure",
        (_, Some(Proof::Bogus)) => "bogus",
        (_, Some(Proof::Indeterminate) | None) => "indeterminate",
    }
}

/// The mnemonic of the IANA registry.
fn rcode(lookup: &Lookup<Vec<Record>>) -> Option<String> {
    lookup.rcode.map(|code| match code {
        0 => "NOERROR".to_owned(),
        1 => "FORMERR".to_owned(),
        2 => "SERVFAIL".to_owned(),
        3 => "NXDOMAIN".to_owned(),
        4 => "NOTIMP".to_owned(),
        5 => "REFUSED".to_owned(),
        6 => "YXDOMAIN".to_owned(),
        other => format!("RCODE{other}"),
    })
}

const fn sure(authenticity: Authenticity) -> &'static str {
    match authenticity {
        Authenticity::Secure => "secure",
        Authenticity::Insecure => "insecure",
    }
}

fn as_json(lookup: &Lookup<Vec<Record>>) -> serde_json::Value {
    let records: Vec<String> =
        lookup.answer.value().into_iter().flatten().map(Record::text).collect();
    let aliases: Vec<_> = lookup
        .aliases
        .iter()
        .map(|step| {
            json!({
                "from": step.from.to_string(),
                "to": step.to.to_string(),
                "status": sure(step.authenticity),
            })
        })
        .collect();
    let (denial, expires) = match &lookup.answer {
        Answer::Found { expires, .. } => (None, Some(expires.0)),
        Answer::Absent { denial, expires, .. } => (Some(*denial), Some(expires.0)),
        Answer::Failed(_) => (None, None),
    };
    json!({
        "name": lookup.name,
        "type": lookup.record_type.to_string(),
        "status": status(lookup),
        "rcode": rcode(lookup),
        "records": records,
        "because": lookup.because,
        "aliases": aliases,
        "denial": denial,
        "expires": expires,
    })
}

fn as_text(lookup: &Lookup<Vec<Record>>, paint: Paint) -> String {
    let status = status(lookup);
    let shown = match (paint, status) {
        (Paint::Plain, _) => status.to_owned(),
        (Paint::Colour, "secure") => format!("\x1b[32m{status}\x1b[0m"),
        (Paint::Colour, "insecure") => format!("\x1b[33m{status}\x1b[0m"),
        (Paint::Colour, _) => format!("\x1b[31m{status}\x1b[0m"),
    };
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{} {}  {shown}", lookup.name, lookup.record_type);
    for step in &lookup.aliases {
        let _ = writeln!(text, "  {} -> {}  ({})", step.from, step.to, sure(step.authenticity));
    }
    match &lookup.answer {
        Answer::Found { value, .. } => {
            for record in value {
                let _ = writeln!(text, "  {}", record.text());
            }
        }
        Answer::Absent { denial: Denial::NxDomain, .. } => text.push_str("  no such name\n"),
        Answer::Absent { denial: Denial::NoData, .. } => text.push_str("  no such record\n"),
        Answer::Failed(_) => {}
    }
    let _ = writeln!(text, "  {}", lookup.because);
    text
}
