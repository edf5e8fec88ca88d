//! Dates as JavaScript writes them.

/// The last millisecond that JavaScript has a date for, and the negative of the first.
const LAST: u64 = 8_640_000_000_000_000;
const DAY: i64 = 86_400_000;

/// What `new Date(milliseconds).toISOString()` gives, for the dates that JavaScript has.
pub fn iso_string(milliseconds: i64) -> Option<String> {
    if milliseconds.unsigned_abs() > LAST {
        return None;
    }
    let Date { year, month, day, .. } = Date::of(milliseconds.div_euclid(DAY));
    let year = match year {
        0..=9999 => format!("{year:04}"),
        _ => format!("{}{:06}", if year < 0 { '-' } else { '+' }, year.abs()),
    };
    let time = milliseconds.rem_euclid(DAY);
    let (hours, minutes) = (time / 3_600_000, time / 60_000 % 60);
    let (seconds, milliseconds) = (time / 1_000 % 60, time % 1_000);
    Some(format!("{year}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{milliseconds:03}Z"))
}

/// What `new Date(milliseconds).toString()` gives where the local time is UTC; `Invalid Date` beyond what JavaScript has.
pub fn date_string(milliseconds: i64) -> String {
    const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    if milliseconds.unsigned_abs() > LAST {
        return "Invalid Date".to_owned();
    }
    let Date { year, month, day, weekday } = Date::of(milliseconds.div_euclid(DAY));
    let name_of = |names: &[&'static str], at: i64| {
        usize::try_from(at).ok().and_then(|at| names.get(at).copied()).unwrap_or_default()
    };
    let (weekday, month) = (name_of(&WEEKDAYS, weekday), name_of(&MONTHS, month - 1));
    let sign = if year < 0 { "-" } else { "" };
    let year = year.abs();
    let time = milliseconds.rem_euclid(DAY) / 1_000;
    let (hours, minutes, seconds) = (time / 3_600, time / 60 % 60, time % 60);
    format!(
        "{weekday} {month} {day:02} {sign}{year:04} {hours:02}:{minutes:02}:{seconds:02} \
         GMT+0000 (Coordinated Universal Time)"
    )
}

/// A day of the calendar.
struct Date {
    year: i64,
    /// From 1.
    month: i64,
    /// From 1.
    day: i64,
    /// From 0, which is Sunday.
    weekday: i64,
}

impl Date {
    /// The day that is so many days after the first one of 1970.
    fn of(days: i64) -> Self {
        let weekday = (days + 4).rem_euclid(7);
        // Days counted from the first of March of year 0, in eras of 400 years: leap days then come last.
        let days = days + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Self { year: year_of_era + era * 400 + i64::from(month <= 2), month, day, weekday }
    }
}
