//! The words of the page for people, in English and Vietnamese.

use super::report::SetVerdict;

/// A language of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Vietnamese.
    Vietnamese,
}

impl Language {
    /// The language of this code: `en` or `vi`.
    pub fn from_code(code: &str) -> Option<Self> {
        match code {
            "en" => Some(Self::English),
            "vi" => Some(Self::Vietnamese),
            _ => None,
        }
    }

    /// Its code (BCP 47).
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Vietnamese => "vi",
        }
    }

    pub(super) fn words(self) -> &'static Words {
        match self {
            Self::English => &ENGLISH,
            Self::Vietnamese => &VIETNAMESE,
        }
    }

    /// What a kind of finding is called; none for kinds that have no name here.
    pub(super) fn kind(self, kind: &str) -> Option<&'static str> {
        KINDS.iter().find(|(known, ..)| *known == kind).map(|(_, english, vietnamese)| match self {
            Self::English => *english,
            Self::Vietnamese => *vietnamese,
        })
    }
}

/// The words of the page.
pub(super) struct Words {
    pub(super) title: &'static str,
    pub(super) valid: &'static str,
    pub(super) invalid: &'static str,
    pub(super) not_judged: &'static str,
    pub(super) instance: &'static str,
    pub(super) made: &'static str,
    pub(super) period: &'static str,
    pub(super) totals: &'static str,
    pub(super) archives: &'static str,
    pub(super) containers: &'static str,
    pub(super) valid_count: &'static str,
    pub(super) invalid_count: &'static str,
    pub(super) unjudged_count: &'static str,
    pub(super) incomplete: &'static str,
    pub(super) requests: &'static str,
    pub(super) responses: &'static str,
    pub(super) size: &'static str,
    pub(super) problems: &'static str,
    pub(super) no_problems: &'static str,
    pub(super) volumes: &'static str,
    pub(super) volumes_note: &'static str,
    pub(super) timeline: &'static str,
    pub(super) timeline_note: &'static str,
    pub(super) chains: &'static str,
    pub(super) group: &'static str,
    pub(super) all_records: &'static str,
    pub(super) continues: &'static str,
    pub(super) last_digest: &'static str,
    pub(super) end_known: &'static str,
    pub(super) end_unknown: &'static str,
    pub(super) file: &'static str,
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) linking: &'static str,
    pub(super) holds: &'static str,
    pub(super) broken: &'static str,
    pub(super) findings: &'static str,
    pub(super) more: &'static str,
    pub(super) code: &'static str,
    pub(super) text: &'static str,
    pub(super) not_covered: &'static str,
    pub(super) times: &'static str,
    pub(super) why: &'static str,
    pub(super) signers: &'static str,
    pub(super) member: &'static str,
    pub(super) shows: &'static str,
    pub(super) shows_what: &'static [&'static str],
}

impl Words {
    pub(super) fn verdict(&self, verdict: SetVerdict) -> &'static str {
        match verdict {
            SetVerdict::Valid => self.valid,
            SetVerdict::Invalid => self.invalid,
            SetVerdict::NotJudged => self.not_judged,
        }
    }
}

static ENGLISH: Words = Words {
    title: "Audit of message log archives",
    valid: "Valid: every container holds, and nothing is missing that the archives name",
    invalid: "Not valid",
    not_judged: "Not judged: something could not be opened or read",
    instance: "Instance",
    made: "Made",
    period: "Timestamps",
    totals: "In numbers",
    archives: "Archives",
    containers: "Containers",
    valid_count: "Valid",
    invalid_count: "Not valid",
    unjudged_count: "Not judged",
    incomplete: "Valid, but something that was signed is not there",
    requests: "Requests",
    responses: "Responses",
    size: "Size",
    problems: "What is wrong",
    no_problems: "Nothing.",
    volumes: "Containers by day",
    volumes_note: "By the day of the timestamp (UTC). Dark: not valid.",
    timeline: "Archives over time",
    timeline_note: "Each line is a chain; each bar an archive, from its first timestamp to its last. Dark: not as it should be.",
    chains: "Chains",
    group: "Group",
    all_records: "all records",
    continues: "Continues an archive that is not in the set",
    last_digest: "Last digest",
    end_known: "known from elsewhere: nothing is missing up to there",
    end_unknown: "not known from elsewhere: later archives may be missing",
    file: "File",
    from: "From",
    to: "To",
    linking: "Linking information",
    holds: "holds",
    broken: "does not hold",
    findings: "Containers with findings",
    more: "more are not listed",
    code: "Code",
    text: "What was found",
    not_covered: "What no signature covers",
    times: "Times",
    why: "Why",
    signers: "Signed by",
    member: "Member",
    shows: "What this shows, and what not",
    shows_what: &[
        "A valid container shows who signed the message, that it is unchanged, and that it existed at the time of its timestamp, by the certificates and OCSP responses of that time.",
        "Linking information shows that nothing was removed, added, changed or moved between containers and between archives of the set, as long as whoever did so did not also write all later archives anew.",
        "It is not signed, and nothing points forwards: that archives are missing from the end is seen only by a last digest that was kept elsewhere. Keep the last digests above with somebody else.",
        "Messages that were never archived leave no trace here.",
    ],
};

static VIETNAMESE: Words = Words {
    title: "Kiểm tra kho lưu trữ nhật ký thông điệp",
    valid: "Hợp lệ: mọi gói chứng cứ đều đúng và không thiếu gì mà kho lưu trữ có ghi",
    invalid: "Không hợp lệ",
    not_judged: "Chưa kết luận được: có phần không mở hoặc không đọc được",
    instance: "Hệ thống",
    made: "Thời điểm lập",
    period: "Dấu thời gian",
    totals: "Số liệu",
    archives: "Tệp lưu trữ",
    containers: "Gói chứng cứ",
    valid_count: "Hợp lệ",
    invalid_count: "Không hợp lệ",
    unjudged_count: "Chưa kết luận được",
    incomplete: "Hợp lệ nhưng thiếu phần đã được ký",
    requests: "Yêu cầu",
    responses: "Phản hồi",
    size: "Dung lượng",
    problems: "Sai sót",
    no_problems: "Không có.",
    volumes: "Số gói chứng cứ theo ngày",
    volumes_note: "Theo ngày của dấu thời gian (UTC). Màu đậm: không hợp lệ.",
    timeline: "Tệp lưu trữ theo thời gian",
    timeline_note: "Mỗi dòng là một chuỗi; mỗi thanh là một tệp lưu trữ, từ dấu thời gian đầu đến dấu thời gian cuối. Màu đậm: có sai sót.",
    chains: "Các chuỗi",
    group: "Nhóm",
    all_records: "tất cả bản ghi",
    continues: "Nối tiếp một tệp lưu trữ không có trong bộ này",
    last_digest: "Giá trị băm cuối",
    end_known: "đã biết từ nguồn khác: không thiếu gì cho đến đó",
    end_unknown: "chưa biết từ nguồn khác: có thể thiếu các tệp sau đó",
    file: "Tệp",
    from: "Từ",
    to: "Đến",
    linking: "Thông tin liên kết",
    holds: "đúng",
    broken: "sai",
    findings: "Gói chứng cứ có sai sót",
    more: "mục khác không liệt kê",
    code: "Mã",
    text: "Nội dung phát hiện",
    not_covered: "Phần không có chữ ký nào bảo đảm",
    times: "Số lần",
    why: "Lý do",
    signers: "Bên ký",
    member: "Thành viên",
    shows: "Kết quả này chứng minh được gì và không chứng minh được gì",
    shows_what: &[
        "Gói chứng cứ hợp lệ chứng minh ai đã ký thông điệp, thông điệp không bị thay đổi và đã tồn tại vào thời điểm của dấu thời gian, theo chứng thư số và phản hồi OCSP tại thời điểm đó.",
        "Thông tin liên kết cho thấy không có gì bị xoá, thêm, sửa hoặc đổi chỗ giữa các gói và giữa các tệp lưu trữ của bộ này, với điều kiện người can thiệp không viết lại toàn bộ các tệp sau đó.",
        "Thông tin liên kết không được ký và không trỏ về phía sau: chỉ phát hiện được việc thiếu các tệp cuối nếu giá trị băm cuối đã được giữ ở nơi khác. Hãy giao các giá trị băm cuối ở trên cho bên khác lưu giữ.",
        "Những thông điệp chưa từng được lưu trữ không để lại dấu vết ở đây.",
    ],
};

static KINDS: [(&str, &str, &str); 18] = [
    ("linking_info", "No linking information", "Không có thông tin liên kết"),
    ("no_containers", "No containers", "Không có gói chứng cứ"),
    ("changed", "Changed", "Bị thay đổi"),
    ("moved", "Moved", "Bị đổi chỗ"),
    ("not_listed", "Added", "Bị thêm vào"),
    ("missing", "Missing", "Bị thiếu"),
    ("unreadable", "Unreadable", "Không đọc được"),
    ("stranger", "Not part of the format", "Không thuộc định dạng"),
    ("replaced", "Replaced", "Bị thay thế"),
    ("fork", "Two histories", "Hai nhánh lịch sử"),
    ("beginnings", "Several beginnings", "Nhiều điểm bắt đầu"),
    ("circle", "Circle", "Vòng lặp"),
    ("end_missing", "End is missing", "Thiếu phần cuối"),
    ("copy", "Copy", "Bản sao"),
    ("renamed", "Renamed", "Bị đổi tên"),
    ("unknown_groups", "Groups are not known", "Không rõ nhóm"),
    ("wrong_name", "Wrong name", "Sai tên"),
    ("incomplete", "Incomplete", "Không đầy đủ"),
];
