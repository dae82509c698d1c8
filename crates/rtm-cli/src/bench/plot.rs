//! A load as a picture: how much was done in each moment, and how long each took.

use std::path::Path;

use plotters::{
    coord::Shift,
    prelude::{
        AreaSeries, ChartBuilder, Color as _, DrawingArea, IntoDrawingArea as _, LineSeries, RGBColor, SVGBackend,
        WHITE,
    },
};
use rtm_load::Latency;

use super::{figures::grouped, progress::Sample};

/// What is drawn.
pub(super) struct Plot<'a> {
    pub(super) title: String,
    pub(super) counted: &'static str,
    pub(super) samples: &'a [Sample],
    pub(super) timed: Option<(&'static str, &'a Latency)>,
}

impl Plot<'_> {
    pub(super) fn draw(&self, file: &Path) -> anyhow::Result<()> {
        let panels = if self.timed.is_some() { 2 } else { 1 };
        let area = SVGBackend::new(file, (WIDTH, TITLE + PANEL * panels)).into_drawing_area();
        area.fill(&WHITE)?;
        let area = area.titled(&self.title, (FONT, 22))?;
        let panels = area.split_evenly((panels as usize, 1));
        for (number, panel) in panels.iter().enumerate() {
            match self.timed {
                Some((what, latency)) if number == 1 => draw_latency(panel, what, latency)?,
                _ => self.draw_rate(panel)?,
            }
        }
        area.present()?;
        Ok(())
    }

    fn draw_rate(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> anyhow::Result<()> {
        let rates = rates(self.samples);
        let most = rates.iter().fold(1.0, |most: f64, (_, rate)| rate.max(most));
        let end = self.samples.last().map_or(1.0, |sample| sample.seconds).max(0.001);
        let mut chart = ChartBuilder::on(area)
            .caption(format!("{} per second", self.counted), (FONT, 16))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(90)
            .build_cartesian_2d(0.0..end, 0.0..most * 1.1)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .bold_line_style(GRID)
            .x_desc("seconds since the start")
            .y_label_formatter(&|rate| grouped(*rate))
            .label_style((FONT, 14))
            .draw()?;
        let steps = rates.windows(2).flat_map(|pair| [(pair[0].0, pair[1].1), (pair[1].0, pair[1].1)]);
        chart.draw_series(AreaSeries::new(steps, 0.0, COLOR.mix(0.25)).border_style(COLOR.stroke_width(2)))?;
        Ok(())
    }
}

/// The rate in each of up to a hundred equal times, as the end of that time and what there was per second in it.
fn rates(samples: &[Sample]) -> Vec<(f64, f64)> {
    let Some(last) = samples.last() else { return Vec::new() };
    let count = (last.seconds / SHORTEST).floor().clamp(1.0, MOST_TIMES);
    let step = last.seconds / count;
    let mut rates = vec![(0.0, 0.0)];
    let mut before = 0.0;
    for number in 1..=count as u32 {
        let end = step * f64::from(number);
        let done = done_at(samples, end);
        rates.push((end, if step > 0.0 { (done - before) / step } else { 0.0 }));
        before = done;
    }
    rates
}

/// How much was done at a time, with straight lines between samples.
fn done_at(samples: &[Sample], seconds: f64) -> f64 {
    let next = samples.partition_point(|sample| sample.seconds < seconds);
    let before = next.checked_sub(1).and_then(|before| samples.get(before)).copied();
    let before = before.unwrap_or(Sample { seconds: 0.0, done: 0 });
    let Some(after) = samples.get(next) else { return before.done as f64 };
    let share = match after.seconds - before.seconds {
        between if between > 0.0 => (seconds - before.seconds) / between,
        _ => 1.0,
    };
    before.done as f64 + share * (after.done as f64 - before.done as f64)
}

/// The latency that each share of all does not exceed. Each step to the right has a tenth of those that are longer.
fn draw_latency(area: &DrawingArea<SVGBackend<'_>, Shift>, what: &str, latency: &Latency) -> anyhow::Result<()> {
    let nines = (latency.count().max(10) as f64).log10().min(5.0);
    let points: Vec<_> = (0..=POINTS)
        .map(|point| {
            let x = nines * f64::from(point) / f64::from(POINTS);
            let percent = 100.0 * (1.0 - 10.0_f64.powf(-x));
            (x, latency.percentile(percent).as_secs_f64() * 1e3)
        })
        .collect();
    let most = points.iter().fold(0.001, |most: f64, (_, ms)| ms.max(most));
    let digits = if most < 1.0 { 3 } else { 1 };
    let mut chart = ChartBuilder::on(area)
        .caption(format!("time until the {what}, in milliseconds"), (FONT, 16))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(90)
        .build_cartesian_2d(0.0..nines, 0.0..most * 1.1)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(GRID)
        .x_desc("share that took no longer")
        .x_labels(nines as usize + 1)
        .x_label_formatter(&|x| share(*x))
        .y_label_formatter(&|ms| format!("{ms:.digits$}"))
        .label_style((FONT, 14))
        .draw()?;
    chart.draw_series(LineSeries::new(points, COLOR.stroke_width(2)))?;
    Ok(())
}

/// `0 %`, `90 %`, `99 %`, `99.9 %` and so on.
fn share(nines: f64) -> String {
    match nines.round() as usize {
        0 => "0 %".to_owned(),
        1 => "90 %".to_owned(),
        2 => "99 %".to_owned(),
        nines => format!("99.{} %", "9".repeat(nines - 2)),
    }
}

const WIDTH: u32 = 900;
const TITLE: u32 = 40;
const PANEL: u32 = 320;
const FONT: &str = "sans-serif";
const COLOR: RGBColor = RGBColor(31, 119, 180);
const GRID: RGBColor = RGBColor(221, 221, 221);
/// How many times a course is divided into, at most, and how short each may be in seconds.
const MOST_TIMES: f64 = 100.0;
const SHORTEST: f64 = 0.05;
const POINTS: u32 = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_between_samples_is_spread_evenly() {
        let samples = [(0.0, 0), (0.1, 10), (0.2, 30)].map(|(seconds, done)| Sample { seconds, done });
        let rates: Vec<_> = rates(&samples).iter().map(|(end, rate)| ((end * 1e3).round(), rate.round())).collect();
        assert_eq!(rates, [(0.0, 0.0), (50.0, 100.0), (100.0, 100.0), (150.0, 200.0), (200.0, 200.0)]);
    }

    #[test]
    fn shares_are_named_by_their_nines() {
        assert_eq!([0.0, 1.0, 2.0, 3.0, 4.0].map(share), ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
    }
}
