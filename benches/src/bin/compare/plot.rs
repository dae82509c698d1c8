//! Plots of the figures: for each scenario one SVG file, with a bar for each candidate.

use std::path::Path;

use anyhow::Context as _;
use plotters::prelude::{
    BLACK, ChartBuilder, Color as _, IntoDrawingArea as _, IntoFont as _, PathElement, RGBColor, Rectangle, SVGBackend,
    Text, TextStyle, WHITE,
};

use crate::report::Report;

/// Writes a file for each scenario into `folder`.
pub(crate) fn write(report: &Report, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for scenario in report.scenarios() {
        let path = folder.join(file_name(scenario));
        plot(report, scenario, &path).with_context(|| format!("cannot plot {}", path.display()))?;
    }
    Ok(())
}

/// The file that has a scenario's plot.
pub(crate) fn file_name(scenario: &str) -> String {
    let name: String = scenario.chars().filter(|c| !matches!(c, ',' | '\'' | ':')).collect();
    format!("{}.svg", name.replace(' ', "-"))
}

fn plot(report: &Report, scenario: &str, path: &Path) -> anyhow::Result<()> {
    let metrics = report.metrics(scenario);
    let Some(&metric) = metrics.first() else { return Ok(()) };
    let bars: Vec<_> = report
        .candidates(scenario)
        .into_iter()
        .filter_map(|candidate| Some((candidate, report.summary(scenario, candidate, metric)?)))
        .collect();
    let most = bars.iter().map(|(_, summary)| summary.max).fold(0.0, f64::max);
    let rows = bars.len() as f64;

    let area = SVGBackend::new(path, (WIDTH, 70 + ROW * bars.len() as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(format!("{scenario}: {metric}"), ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(24)
        .build_cartesian_2d(-most * NAMES..most * 1.15, rows..0.0)?;
    let label = TextStyle::from(("sans-serif", 13).into_font()).color(&BLACK);
    for (row, (candidate, summary)) in bars.iter().enumerate() {
        let (top, middle, bottom) = (row as f64 + 0.2, row as f64 + 0.5, row as f64 + 0.8);
        let color = if row == 0 { OURS } else { THEIRS };
        chart.draw_series([Rectangle::new([(0.0, top), (summary.median, bottom)], color.filled())])?;
        chart.draw_series([PathElement::new([(summary.min, middle), (summary.max, middle)], BLACK)])?;
        chart.draw_series([
            Text::new((*candidate).to_owned(), (-most * NAMES, row as f64 + 0.35), label.clone()),
            Text::new(format!("{summary}"), (most * 0.01, row as f64 + 0.35), label.clone()),
        ])?;
    }
    area.present()?;
    Ok(())
}

/// How much room names have, as a share of the longest bar.
const NAMES: f64 = 0.4;
const WIDTH: u32 = 800;
const ROW: u32 = 34;
const OURS: RGBColor = RGBColor(244, 164, 96);
const THEIRS: RGBColor = RGBColor(176, 196, 222);
