//! A real browser without a window, driven over two pipes (Chrome DevTools Protocol).

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target").canonicalize().unwrap()
}

/// Chromium from Debian, and axe-core.
pub(super) struct Browser {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    session: Option<String>,
    calls: u64,
    axe: String,
    folder: tempfile::TempDir,
}

/// What a visitor has chosen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scheme {
    Light,
    Dark,
}

impl Scheme {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

impl Browser {
    pub(super) fn start() -> Self {
        let root = target().join("peers/chromium");
        let program = root.join("usr/lib/chromium/chromium");
        assert!(program.exists(), "there is no browser: run tests/peers chromium");
        Self::run(&root, &program)
    }

    /// A browser that cannot start, or that dies, ends the test with what it said.
    fn run(root: &Path, program: &Path) -> Self {
        let axe = target().join("axe/axe.min.js");
        let axe = std::fs::read_to_string(axe).expect("there is no axe-core: run tests/axe");
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        // The same letters everywhere, whatever this machine has.
        let fonts = format!(
            "<fontconfig><dir>{}</dir><cachedir>{}</cachedir></fontconfig>",
            root.join("usr/share/fonts").display(),
            at("fonts").display()
        );
        std::fs::write(at("fonts.conf"), fonts).unwrap();
        // The shell gives the pipes the numbers that the browser wants.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null"])
            .arg(program)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", at("profile").display()))
            .env("FONTCONFIG_FILE", at("fonts.conf"))
            .env("LD_LIBRARY_PATH", libraries(root))
            .env("HOME", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(at("said")).unwrap())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut browser = Self { child, input, output, session: None, calls: 0, axe, folder };
        let page = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", &attach);
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        browser.call("Page.enable", &json!({}));
        browser
    }

    /// What the browser says next.
    fn next(&mut self) -> Value {
        let mut message = Vec::new();
        let read = self.output.read_until(0, &mut message);
        if read.is_err() || message.pop() != Some(0) {
            self.mourn();
        }
        serde_json::from_slice(&message).unwrap()
    }

    /// The browser has ended: says why, as it said itself.
    fn mourn(&mut self) -> ! {
        let status = self.child.wait();
        let said = std::fs::read_to_string(self.folder.path().join("said")).unwrap_or_default();
        let said: Vec<&str> = said.lines().collect();
        panic!(
            "the browser has ended ({status:?}):\n  {}\nIts libraries come with it where this \
             machine lacks them: rm -r target/peers/chromium, then tests/peers chromium",
            said[said.len().saturating_sub(10)..].join("\n  ")
        );
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let message = format!("{message}\0");
        if self.input.write_all(message.as_bytes()).is_err() {
            self.mourn();
        }
        loop {
            let mut answer = self.next();
            if answer["id"] == self.calls {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
        }
    }

    /// So wide a window, and what its user has chosen.
    pub(super) fn look_like(&mut self, wide: u32, scheme: Scheme) {
        let phone = wide < 500;
        let size = json!({ "width": wide, "height": 800, "deviceScaleFactor": 1, "mobile": phone });
        self.call("Emulation.setDeviceMetricsOverride", &size);
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme.name() });
        self.call("Emulation.setEmulatedMedia", &json!({ "features": [feature] }));
    }

    pub(super) fn open(&mut self, url: &str) {
        self.call("Page.navigate", &json!({ "url": "about:blank" }));
        let answer = self.call("Page.navigate", &json!({ "url": url }));
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
        let loaded = "new Promise(done => document.readyState == 'complete' ? done(0) : \
                      addEventListener('load', () => done(0)))";
        self.ask(loaded);
        assert_eq!(self.ask("location.href"), json!(url));
    }

    /// What a script yields in the page, whatever the page itself forbids.
    pub(super) fn ask(&mut self, script: &str) -> Value {
        let params = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.call("Runtime.evaluate", &params);
        assert!(answer["exceptionDetails"].is_null(), "{script:.200}: {answer}");
        answer["result"]["value"].take()
    }

    /// What axe-core finds, one line each that begins with its impact: `critical`, `serious`,
    /// `moderate`, `minor`. Of many articles three are left in the page, of many rows two dozen.
    pub(super) fn barriers(&mut self) -> String {
        let axe = std::mem::take(&mut self.axe);
        self.ask(&format!("{axe};0"));
        self.axe = axe;
        // They are all alike, and hundreds of them would take minutes. Rows of all kinds are left.
        let many = "document.querySelectorAll('article').forEach((one, n) => n > 2 && one.remove());\
                    document.querySelectorAll('tbody').forEach(body => { \
                    const rows = [...body.rows], step = Math.ceil(rows.length / 24); \
                    rows.forEach((row, n) => n % step && row.remove()); })";
        self.ask(&format!("{many};0"));
        let found = self.ask("axe.run({resultTypes: ['violations']}).then(all => all.violations)");
        let mut text = String::new();
        for one in found.as_array().unwrap() {
            let node = &one["nodes"][0];
            let _ = writeln!(
                text,
                "{}: {} ({}): {} {}",
                one["impact"].as_str().unwrap_or("unknown"),
                one["id"].as_str().unwrap(),
                one["help"].as_str().unwrap(),
                node["target"],
                node["failureSummary"],
            );
        }
        text
    }

    /// By how many pixels the page is wider than its window.
    pub(super) fn overflow(&mut self) -> i64 {
        let script = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        self.ask(script).as_i64().unwrap()
    }

    /// The first element of which one sees only a part unless one scrolls in it.
    pub(super) fn scrolled_sideways(&mut self) -> String {
        let found = self.ask(
            "[...document.body.querySelectorAll('*')].find(one => one.clientWidth > 1 && \
             one.scrollWidth > one.clientWidth + 1 && \
             getComputedStyle(one).overflowX != 'visible')?.outerHTML.slice(0, 100) ?? ''",
        );
        found.as_str().unwrap().to_owned()
    }

    /// The language that its user has chosen for pages.
    pub(super) fn prefers(&mut self, language: &str) {
        self.call("Network.enable", &json!({}));
        let headers = json!({ "headers": { "Accept-Language": language } });
        self.call("Network.setExtraHTTPHeaders", &headers);
    }

    /// Keeps a picture of the page in target/screenshots, down to a sensible height, and yields
    /// how many colours it has and how light its corner is (0 to 255). Of a page without an end it
    /// has what the window shows: for more, all of it would be laid out anew.
    pub(super) fn picture(&mut self, name: &str) -> (u64, u64) {
        let size = self.ask("[innerWidth, document.documentElement.scrollHeight]");
        let whole = size[1].as_u64().unwrap();
        let beyond = whole < 100_000;
        let high = if beyond { whole.clamp(100, 6_000) } else { 800 };
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": high, "scale": 1 });
        let how = json!({ "format": "png", "optimizeForSpeed": true,
            "captureBeyondViewport": beyond, "clip": clip });
        let shot = self.call("Page.captureScreenshot", &how);
        let png = shot["data"].as_str().unwrap();
        let folder = target().join("screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), STANDARD.decode(png).unwrap()).unwrap();
        // The browser itself says what is in the picture.
        self.call("Page.navigate", &json!({ "url": "about:blank" }));
        let seen = self.ask(&format!(
            "(async () => {{ const image = new Image(); image.src = 'data:image/png;base64,{png}'; \
             await image.decode(); const canvas = document.createElement('canvas'); \
             canvas.width = image.width; canvas.height = Math.min(image.height, 1000); \
             const context = canvas.getContext('2d'); context.drawImage(image, 0, 0); \
             const all = context.getImageData(0, 0, canvas.width, canvas.height).data; \
             const colours = new Set(new Uint32Array(all.buffer)); \
             return [colours.size, Math.round((all[0] + all[1] + all[2]) / 3)]; }})()"
        ));
        (seen[0].as_u64().unwrap(), seen[1].as_u64().unwrap())
    }
}

/// Where the libraries lie that this machine does not have itself.
fn libraries(root: &Path) -> String {
    let mut folders = BTreeSet::new();
    let mut open = vec![root.join("usr/lib"), root.join("lib")];
    while let Some(folder) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else if entry.file_name().to_string_lossy().contains(".so") {
                folders.insert(folder.display().to_string());
            }
        }
    }
    folders.into_iter().collect::<Vec<_>>().join(":")
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A machine without the libraries of a browser: the test fails and names what is missing, instead
/// of passing without having looked.
#[test]
#[should_panic(expected = "libnss3.so: cannot open shared object file")]
fn a_browser_that_lacks_a_library_fails_the_test_and_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("chromium");
    // What the dynamic loader says, and what it exits with.
    let script = "#!/bin/sh\necho \"$0: error while loading shared libraries: libnss3.so: cannot \
                  open shared object file: No such file or directory\" >&2\nexit 127\n";
    std::fs::write(&program, script).unwrap();
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, all).unwrap();
    Browser::run(folder.path(), &program);
}
