//! Long lines on a terminal: broken at spaces and indented, instead of anywhere by the terminal.

use rustix::termios::tcgetwinsize;

/// Fewer columns than this are no terminal that somebody reads.
const NARROWEST: usize = 30;

/// How much further the rest of a line is indented than its beginning.
const HANGING: usize = 4;

/// The columns of the terminal that standard output is; `None` where it is none: what a script
/// reads stays one line.
pub(super) fn columns() -> Option<usize> {
    // A terminal that does not know its size says 0.
    tcgetwinsize(std::io::stdout()).ok().map(|size| match usize::from(size.ws_col) {
        0 => 80,
        columns => columns.max(NARROWEST),
    })
}

/// The text with its long lines broken.
pub(super) fn fold(text: &str, columns: usize) -> String {
    let mut folded = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        if wide(line) <= columns {
            folded.push_str(line);
        } else {
            break_up(line, columns, &mut folded);
        }
        folded.push_str(end);
    }
    folded
}

/// A zone file with its long comments broken. Records stay whole, those in comments too: somebody copies
/// them.
pub(super) fn fold_zone(text: &str, columns: usize) -> String {
    let mut folded = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("; ") {
            Some(words) if !words.contains(" IN ") && !words.contains("there is: ") => {
                for line in fold(words, columns.saturating_sub(2)).split_inclusive('\n') {
                    folded.push_str("; ");
                    folded.push_str(line);
                }
            }
            Some(_) | None => folded.push_str(line),
        }
    }
    folded
}

fn break_up(line: &str, columns: usize, folded: &mut String) {
    let inside = line.trim_start_matches(' ');
    let begin = line.len().saturating_sub(inside.len());
    let (start, inside) = line.split_at(begin);
    folded.push_str(start);
    let indent = (begin + HANGING).min(columns / 2);
    let (mut column, mut first) = (begin, true);
    for word in inside.split_inclusive(' ') {
        let long = wide(word.trim_end());
        if !first && column + long > columns {
            folded.truncate(folded.trim_end_matches(' ').len());
            folded.push('\n');
            folded.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        }
        folded.push_str(word);
        column += wide(word);
        first = false;
    }
}

/// Columns of a text; colours take none.
fn wide(text: &str) -> usize {
    let (mut columns, mut in_colour) = (0_usize, false);
    for c in text.chars() {
        match c {
            '\u{1b}' => in_colour = true,
            'm' if in_colour => in_colour = false,
            _ if in_colour => {}
            _ => columns = columns.saturating_add(1),
        }
    }
    columns
}
