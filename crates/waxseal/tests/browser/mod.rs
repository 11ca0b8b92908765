//! Our pages in a real browser: people with a telephone, with a dark screen, without sight.

mod chromium;
mod hostile;
mod pages;
mod recorded;
mod status;

use chromium::{Browser, Scheme};

/// The widths of a small telephone and of a desk.
const WIDTHS: [u32; 2] = [320, 1280];

/// What is wrong with a page at each width, in light and dark; keeps pictures under this name.
fn look_everywhere(browser: &mut Browser, url: &str, name: &str) -> String {
    let mut wrong = String::new();
    for wide in WIDTHS {
        for scheme in [Scheme::Light, Scheme::Dark] {
            let view = format!("{name}-{wide}-{}", scheme.name());
            wrong.push_str(&look(browser, url, &view, (wide, scheme)));
        }
    }
    wrong
}

/// What is wrong with a page in one window.
fn look(browser: &mut Browser, url: &str, view: &str, (wide, scheme): (u32, Scheme)) -> String {
    let mut wrong = String::new();
    browser.look_like(wide, scheme);
    browser.open(url);
    let overflow = browser.overflow();
    // One pixel is rounding: nothing can be scrolled by it.
    if overflow > 1 {
        wrong.push_str(&format!("{view}: {overflow} pixels wider than the window\n"));
    }
    let scrolled = browser.scrolled_sideways();
    if !scrolled.is_empty() {
        wrong.push_str(&format!("{view}: part of {scrolled} is out of sight\n"));
    }
    let barriers = browser.barriers();
    for line in barriers.lines().filter(|line| line.starts_with(['s', 'c'])) {
        wrong.push_str(&format!("{view}: {line}\n"));
    }
    let (colours, corner) = browser.picture(view);
    if colours < 8 {
        wrong.push_str(&format!("{view}: nothing can be seen ({colours} colours)\n"));
    }
    let is_dark = corner < 64;
    if is_dark != matches!(scheme, Scheme::Dark) {
        wrong.push_str(&format!("{view}: the corner is {corner} light\n"));
    }
    wrong
}
