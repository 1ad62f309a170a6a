//! The table: a figure, what it stands beside, and how it compares. Printed as
//! the README has it.

use std::fmt;

/// A figure in units of its limit, with what it must and what it should reach.
pub struct Ratio {
    value: f64,
    floor: f64,
    aim: f64,
    more_is_better: bool,
}

impl Ratio {
    pub fn at_least(value: f64, floor: f64, aim: f64) -> Ratio {
        Ratio { value, floor, aim, more_is_better: true }
    }

    pub fn at_most(value: f64, floor: f64, aim: f64) -> Ratio {
        Ratio { value, floor, aim, more_is_better: false }
    }

    fn reaches(&self, bound: f64) -> bool {
        if self.more_is_better { self.value >= bound } else { self.value <= bound }
    }

    fn verdict(&self) -> &'static str {
        match (self.reaches(self.floor), self.reaches(self.aim)) {
            (false, _) => "misses its floor",
            (true, false) => "behind its aim",
            (true, true) => "reaches its aim",
        }
    }
}

#[derive(Default)]
pub struct Table {
    rows: Vec<[String; 4]>,
    missed: usize,
}

impl Table {
    /// Adds a row, and shows it at once: a run takes minutes.
    pub fn row(&mut self, what: &str, figure: String, beside: &str, ratio: Option<Ratio>) {
        let compared = match &ratio {
            Some(ratio) => {
                let sign = if ratio.more_is_better { '≥' } else { '≤' };
                let Ratio { value, floor, aim, .. } = ratio;
                format!("{value:.2} (floor {sign} {floor}, aim {aim}): {}", ratio.verdict())
            }
            None => String::new(),
        };
        eprintln!("{what}: {figure}  {beside}  {compared}");
        self.missed += usize::from(ratio.is_some_and(|ratio| !ratio.reaches(ratio.floor)));
        self.rows.push([what.to_string(), figure, beside.to_string(), compared]);
    }

    pub fn missed_a_floor(&self) -> bool {
        self.missed > 0
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | figure | beside | ratio |")?;
        writeln!(f, "|---|---|---|---|")?;
        for [what, figure, beside, compared] in &self.rows {
            writeln!(f, "| {what} | {figure} | {beside} | {compared} |")?;
        }
        Ok(())
    }
}
