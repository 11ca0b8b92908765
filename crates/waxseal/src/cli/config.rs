//! `waxseal config`: is the file right, what could stand in it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Context, Exit, Output, Paint, password};
use crate::{
    config::{
        Config, EXAMPLE, Listen, ListenKind, ListenTls, PeerTls, RelayProof, RouteDomain,
        RulesMode, schema,
    },
    serve::{Inspection, Record, inspect},
};

/// Check the configuration, or show what it can contain
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// Read the file and all that it names; say everything that is wrong, or what has to stand in DNS
    Check,
    /// Print every setting at its default, with the reason
    Example,
    /// Print the JSON schema of the file
    Schema,
    /// Make a line of a listener's password file (`auth` of a listener)
    ///
    /// Reads the password from standard input: its first line, or unseen at a terminal.
    Password {
        /// The account; without it only the hash is printed
        name: Option<String>,
    },
}

/// Runs it.
pub(crate) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    match &args.act {
        Act::Password { name } => password::run(name.as_deref(), context).await,
        Act::Check => check(context),
        Act::Example => {
            context.print(EXAMPLE)?;
            Ok(Exit::Ok)
        }
        Act::Schema => {
            context.print(format!("{:#}\n", schema()?))?;
            Ok(Exit::Ok)
        }
    }
}

fn check(context: &Context) -> anyhow::Result<Exit> {
    let file = context.config.display().to_string();
    let (found, config) = match Config::load(&context.config) {
        Ok(config) => {
            let mut found = inspect(&config);
            found.faults.iter_mut().for_each(|fault| *fault = format!("{file}: {fault}"));
            (found, Some(config))
        }
        Err(refused) => (Inspection { faults: refused.lines, ..Inspection::default() }, None),
    };
    let exit = if found.faults.is_empty() { Exit::Ok } else { Exit::Config };
    match (context.output, config) {
        (Output::Json, _) => context.print(format!("{}\n", as_json(&file, &found)))?,
        (Output::Text, Some(config)) if exit == Exit::Ok => {
            context.print(summary(&file, &config, (&found, context.paint)))?;
        }
        (Output::Text, _) => return Err(exit.because(found.faults.join("\n"))),
    }
    Ok(exit)
}

fn as_json(file: &str, found: &Inspection) -> Value {
    let record = |record: &Record| {
        let Record { name, kind, value, why } = record;
        json!({ "name": name, "type": kind, "value": value, "why": why })
    };
    let records: Vec<_> = found.records.iter().map(record).collect();
    json!({
        "file": file,
        "ok": found.faults.is_empty(),
        "faults": found.faults,
        "unread": found.unread,
        "records": records,
    })
}

/// What the file comes to: which way mail goes, and what has to stand in DNS.
fn summary(file: &str, config: &Config, (found, paint): (&Inspection, Paint)) -> String {
    let mut text = format!("{file} is right, and the files that it names can be used.\n");
    let _ = writeln!(text, "\n{}", paint.bold("mail"));
    for domain in &config.domains {
        let (name, inside, tls) = (&domain.name, &domain.inside, word(&domain.tls.tls));
        let _ = writeln!(text, "  from {name}: reports and replies to {inside} ({tls})");
    }
    for listen in &config.listeners {
        let _ = writeln!(text, "  in at {}", listener(listen));
    }
    for route in &config.routes {
        let whom = match &route.domain {
            RouteDomain::All => "everybody else".to_owned(),
            some @ (RouteDomain::Exactly(_) | RouteDomain::Within(_)) => some.to_string(),
        };
        let signed = route.auth.as_ref().map_or("", |_| ", signed in");
        let (host, port, tls) = (&route.host, route.port, word(&route.tls.tls));
        let _ = writeln!(text, "  out to {whom}: by {host}, port {port} ({tls}{signed})");
    }
    if !config.routes.iter().any(|route| route.domain == RouteDomain::All) {
        text.push_str("  out to everybody else: by MX\n");
    }
    let monitored = match config.rules.mode {
        RulesMode::Enforce => "",
        RulesMode::Monitor => ", only monitored: nothing is held for them",
    };
    let _ = match &config.rules.file {
        Some(rules) => writeln!(text, "  floors: by {}{monitored}", rules.display()),
        None => writeln!(text, "  floors: \"encrypted\" for all mail{monitored}"),
    };
    if !config.network.is_empty() {
        text.push_str("  TEST BED: [network] map connects elsewhere\n");
    }
    dns(config, (found, paint), &mut text);
    if !found.unread.is_empty() {
        let _ = writeln!(text, "\n{}", paint.bold("not looked at: only the service can read it"));
    }
    for secret in &found.unread {
        let _ = writeln!(text, "  {secret}");
    }
    text
}

/// The records, as a zone file has them.
fn dns(config: &Config, (found, paint): (&Inspection, Paint), text: &mut String) {
    let _ = writeln!(text, "\n{}", paint.bold("what should stand in DNS"));
    for Record { name, kind, value, why } in &found.records {
        let value = match (value, *kind) {
            (None, _) => "(the public address that mail leaves from)".to_owned(),
            (Some(value), "TXT") => quoted(value),
            (Some(value), _) => value.clone(),
        };
        let _ = writeln!(text, "  {name}. IN {kind} {value}\n    {why}");
    }
    if config.author.dkim.is_none() {
        text.push_str(
            "  no DKIM record: [author] dkim_key is not set, so our reports are not signed\n",
        );
    }
}

/// Strings of at most 255 octets (RFC 1035 §3.3.14); a DKIM key with RSA needs two.
fn quoted(value: &str) -> String {
    let octets: Vec<char> = value.chars().collect();
    let strings = octets.chunks(255).map(|part| format!("\"{}\"", part.iter().collect::<String>()));
    strings.collect::<Vec<_>>().join(" ")
}

/// `[::]:25, for mail servers: STARTTLS; may relay: 10.0.0.0/8`
fn listener(listen: &Listen) -> String {
    let whom = match listen.kind {
        ListenKind::Inbound => "for mail from outside",
        ListenKind::Relay => "for mail servers",
        ListenKind::Submission => "for people's programs",
    };
    let tls = match listen.tls {
        ListenTls::Starttls => "STARTTLS",
        ListenTls::Required => "nothing before STARTTLS",
        ListenTls::Implicit => "TLS first",
        ListenTls::None => "no TLS",
    };
    if listen.kind == ListenKind::Inbound {
        return format!("{}, {whom}: {tls}; for our own domains, relays nothing", listen.address);
    }
    let mut who: Vec<String> = listen.relay_from.iter().map(ToString::to_string).collect();
    let proof = match listen.proof {
        RelayProof::None => None,
        RelayProof::Dkim => Some("with DKIM"),
        RelayProof::ClientCert => Some("with a client certificate"),
        RelayProof::Auth => Some("with AUTH"),
    };
    if let (Some(proof), Some(last)) = (proof, who.last_mut()) {
        *last = format!("{last} {proof}");
    }
    who.extend(listen.clients.iter().map(|client| format!("certificate {client}")));
    who.extend(listen.auth.as_ref().map(|_| "whoever signs in".to_owned()));
    let who = if who.is_empty() { "NOBODY".to_owned() } else { who.join(", ") };
    format!("{}, {whom}: {tls}; may relay: {who}", listen.address)
}

const fn word(tls: &PeerTls) -> &'static str {
    match tls {
        PeerTls::Opportunistic => "opportunistic",
        PeerTls::Encrypted => "encrypted",
        PeerTls::Authenticated => "authenticated",
        PeerTls::Pinned => "pinned",
    }
}
