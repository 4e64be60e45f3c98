//! The page of a report in a real browser.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::report::{made_up_run, report};

/// Runs headless Chromium on `page`; `None` with a word where there is none.
fn chromium(page: &Path, args: &[&str]) -> Option<Vec<u8>> {
    let there = Command::new("sh").args(["-c", "command -v chromium"]).stdout(Stdio::null()).status();
    if !there.is_ok_and(|s| s.success()) {
        use std::io::Write;
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let _ = writeln!(std::io::stderr(), "left out: {test}: chromium is not there");
        return None;
    }
    let profile = tempfile::tempdir().unwrap();
    let mut browser = Command::new("chromium");
    browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=5000"]);
    browser.arg(format!("--user-data-dir={}", profile.path().display())).args(args);
    browser.arg(format!("file://{}", page.display())).stderr(Stdio::null());
    let output = browser.output().unwrap();
    assert!(output.status.success());
    Some(output.stdout)
}

#[test]
fn the_page_shows_and_prints() {
    let folder = tempfile::tempdir().unwrap();
    let hostile = "Mass</td><script>document.title='owned'</script>";
    let run = made_up_run(folder.path(), 300, &["Effusion", hostile], |_| {});
    report(run.path(), &[]).ok();
    let page = folder.path().join("report.html");
    let shot = folder.path().join("shot.png");
    let Some(_) = chromium(&page, &["--window-size=1280,2400", &format!("--screenshot={}", shot.display())]) else {
        return;
    };
    let picture = image::open(&shot).unwrap().to_rgb8();
    assert_eq!(picture.width(), 1280);
    // A page of words and curves: mostly paper, not all of it, and no wider than the window.
    let paper = picture.pixels().filter(|p| p.0.iter().all(|v| *v > 240)).count() as f64;
    let share = paper / f64::from(picture.width() * picture.height());
    assert!((0.6..0.985).contains(&share), "{share}");
    let blue = picture.pixels().filter(|p| p.0[2] > 150 && p.0[0] < 60).count();
    assert!(blue > 500, "no curve is drawn: {blue}");

    let dom = String::from_utf8(chromium(&page, &["--dump-dom"]).unwrap()).unwrap();
    assert!(dom.contains("<title>phantom-densenet on phantom, test</title>") && !dom.contains("<script"));
    assert_eq!(dom.matches("<svg").count(), dom.matches("</svg>").count());
    assert!(dom.matches("<svg").count() >= 13);

    let pdf = folder.path().join("page.pdf");
    chromium(&page, &["--no-pdf-header-footer", &format!("--print-to-pdf={}", pdf.display())]).unwrap();
    let pdf = std::fs::read(pdf).unwrap();
    assert!(pdf.starts_with(b"%PDF") && pdf.len() > 20_000);
}
