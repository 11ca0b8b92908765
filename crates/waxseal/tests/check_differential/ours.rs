//! What `waxseal check` says, in the words of the comparison.

use std::fs;

use serde_json::Value;

use super::{Said, world::World};

/// The report of every domain.
pub(super) struct Ours(Vec<Report>);

struct Report {
    domain: String,
    report: Value,
}

impl Ours {
    /// One run of the command over all domains.
    pub(super) fn ask(world: &World) -> Self {
        let configuration = format!(
            "hostname = \"check.example\"\ndata_dir = \"{0}/data\"\n\
             [dns]\nupstream = [\"127.0.0.1:53\"]\ntrust_anchors = \"{0}/root.ds\"\n\
             [tls]\nroots = \"{0}/roots.pem\"\n[store]\nkey = \"file:{0}/store.key\"\n\
             [web.metrics]\naddress = \"127.0.0.1:0\"\n\
             [[domain]]\nname = \"check.example\"\ninside = \"127.0.0.1:1\"\n\
             inside_tls = \"opportunistic\"\n\
             [[listen]]\naddress = \"127.0.0.1:0\"\ntls = \"none\"\n\
             relay_from = [\"127.0.0.0/8\"]\n[checks]\npace = 600\n",
            world.folder.path().display()
        );
        fs::write(world.file("waxseal.toml"), configuration).unwrap();
        let mut command = world.namespace.command(env!("CARGO_BIN_EXE_waxseal").as_ref());
        command.arg("-c").arg(world.file("waxseal.toml")).args(["--json", "check", "-j", "64"]);
        let output = command.args(&world.domains).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let read = |line| {
            let report: Value = serde_json::from_str(line).unwrap();
            Report { domain: report["domain"].as_str().unwrap().to_owned(), report }
        };
        let reports: Vec<Report> = said.lines().map(read).collect();
        let complained = String::from_utf8_lossy(&output.stderr);
        assert_eq!(reports.len(), world.domains.len(), "waxseal check said:\n{complained}");
        Self(reports)
    }

    fn each(&self, say: impl Fn(&Report) -> &str) -> Said {
        self.0.iter().map(|report| (report.domain.clone(), say(report).to_owned())).collect()
    }

    /// Whether TLSA records match what the host shows.
    pub(super) fn associations(&self) -> Said {
        self.each(|report| match report.dane() {
            _ if report.found("ZONE-BOGUS") || report.found("TLSA-FAILED") => "lookup failed",
            None => "nothing shown",
            Some(_) if report.found("TLSA-ONE-ALG-ONLY") => "matches in part",
            Some(Value::String(word)) if word == "ok" => "matches",
            Some(Value::String(_)) => "no TLSA counts",
            Some(_) => "does not match",
        })
    }

    /// What a connection to the host is worth.
    pub(super) fn channels(&self) -> Said {
        self.each(|report| match report.report["level"].as_str() {
            Some("encrypted") => "untrusted",
            Some("cleartext") => "in the clear",
            Some(level) => level,
            None if report.found("ZONE-BOGUS") || report.found("TLSA-FAILED") => "lookup failed",
            None if report.found("TLS-MISSING") => "in the clear",
            None if report.found("TLSA-NOMATCH") => "untrusted",
            None if report.found("STS-MX-MISMATCH") => "refused",
            None => "unknown",
        })
    }

    /// What is read from DNS and from the policy host, one line for each kind.
    pub(super) fn records(&self) -> Said {
        let mut said = Said::new();
        for report in &self.0 {
            let mut tell = |what: &str, word: &str| {
                said.insert(format!("{} {what}", report.domain), word.to_owned());
            };
            tell("mx", &report.hosts());
            tell("dnssec", report.dnssec());
            tell("tlsa", report.tlsa());
            tell("mta-sts", report.sts());
            tell("spf", report.record("SPF-MISSING", "SPF-BROKEN"));
            tell("dmarc", report.record("DMARC-MISSING", "DMARC-BROKEN"));
            tell("tlsrpt", report.record("RPT-MISSING", "RPT-BROKEN"));
        }
        said
    }
}

impl Report {
    fn found(&self, id: &str) -> bool {
        self.report["findings"].as_array().unwrap().iter().any(|finding| finding["id"] == id)
    }

    fn dane(&self) -> Option<&Value> {
        self.report.pointer("/mx/0/addresses/0/keys/0/dane")
    }

    fn hosts(&self) -> String {
        if self.found("ZONE-BOGUS") {
            return "lookup failed".to_owned();
        }
        let hosts = self.report["mx"].as_array().unwrap().iter();
        let one = |host: &Value| {
            let ips = host["addresses"].as_array().unwrap().iter();
            let ips: Vec<&str> = ips.map(|address| address["ip"].as_str().unwrap()).collect();
            format!("{} {}", host["host"].as_str().unwrap(), ips.join(" "))
        };
        hosts.map(one).collect::<Vec<_>>().join(", ")
    }

    fn dnssec(&self) -> &str {
        if self.found("ZONE-BOGUS") {
            "bogus"
        } else if self.found("ZONE-UNSIGNED") {
            "unsigned"
        } else {
            "signed"
        }
    }

    fn tlsa(&self) -> &str {
        if self.found("ZONE-BOGUS") || self.found("TLSA-FAILED") {
            "lookup failed"
        } else if self.found("TLSA-MISSING") || self.found("MX-ZONE-UNSIGNED") {
            "absent"
        } else {
            "there"
        }
    }

    fn sts(&self) -> &str {
        match self.report["sts"]["state"].as_str().unwrap() {
            _ if self.found("ZONE-BOGUS") => "lookup failed",
            _ if self.found("STS-RECORD-BROKEN") => "broken",
            "absent" => "absent",
            "unknown" => "broken",
            _ => "good",
        }
    }

    fn record(&self, missing: &str, broken: &str) -> &str {
        if self.found("ZONE-BOGUS") {
            "lookup failed"
        } else if self.found(missing) {
            "absent"
        } else if self.found(broken) {
            "broken"
        } else {
            "good"
        }
    }
}
