"""What people call the columns that play a part, in English and in Chinese, the surest name first."""

MESSAGES = ("messages", "conversations", "conversation", "dialogue", "dialog", "dialogues", "chat", "turns", "对话")
SYSTEM = ("system", "system_prompt", "system_message", "系统", "系统提示")
TOOLS = ("tools", "functions", "function", "工具")
HISTORY = ("history", "历史")

INSTRUCTION = ("instruction", "instructions", "指令")
INPUT = ("input", "inputs", "context", "输入")
RESPONSE = ("output", "response", "answer", "completion", "outputs", "reply", "target", "输出", "回复", "回答", "答案")

PROMPT = ("prompt", "question", "query", "problem", "user", "input", "问题", "提问", "输入")
COMPLETION = (
    *("completion", "response", "answer", "chosen", "reply", "solution", "output", "assistant"),
    *("回答", "答案", "回复", "输出"),
)

SOURCE = ("source", "src", "source_text", "article", "document", "dialogue", "text", "original", "原文", "正文")
TARGET = ("target", "tgt", "target_text", "translation", "summary", "highlights", "abstract", "译文", "摘要", "总结")
LANGUAGES = ("en", "zh", "de", "fr", "es", "ja", "ko", "ru", "it", "pt", "ar", "english", "chinese", "英文", "中文")

TEXT = (
    *("text", "sentence", "content", "review", "review_text", "reviewtext", "comment", "body", "message", "tweet"),
    *("document", "description", "question", "query", "sms", "post", "abstract", "headline", "title", "prompt"),
    *("文本", "内容", "评论", "点评", "留言", "评价", "句子", "正文", "标题", "问题"),
)
PAIRS = (
    *(("premise", "hypothesis"), ("sentence1", "sentence2"), ("sentence_1", "sentence_2"), ("text", "text_pair")),
    *(("text1", "text2"), ("text_1", "text_2"), ("text_a", "text_b"), ("sentence_a", "sentence_b"), ("s1", "s2")),
    *(("question1", "question2"), ("question", "passage"), ("question", "sentence"), ("query", "passage")),
    *(("query", "document"), ("前提", "假设"), ("句子1", "句子2"), ("文本1", "文本2")),
)
"""What the columns of two texts are called that have a label together."""

LABEL = (
    *("label_text", "label_name", "label", "labels", "category", "class", "sentiment", "intent", "topic", "emotion"),
    *("tag", "target", "polarity", "y", "type", "标签", "类别", "分类", "类型", "情感", "评价", "倾向", "意图", "主题"),
)
LABELS = ("labels", "tags", "categories", "topics", "genres", "classes", "emotions", "keywords", "label", "标签")
SCORE = (
    "score",
    "rating",
    "stars",
    "grade",
    "similarity",
    "value",
    "label",
    "target",
    "y",
    "分数",
    "评分",
    "得分",
    "星级",
)

TOKENS = ("tokens", "words", "chars", "characters", "词", "字")
TAGS = ("tags", "ner_tags", "labels", "ner", "pos_tags", "chunk_tags", "pos", "标签")

WEIGHT = (
    *("sample_weight", "example_weight", "row_weight", "loss_weight", "instance_weight", "training_weight"),
    *("样本权重", "训练权重"),
)
"""Columns that can only be weights of rows; `weight` alone may be that of a parcel."""

MAY_BE_WEIGHT = ("weight", "weights", "权重")

GROUP = (
    *(
        "user",
        "user_id",
        "userid",
        "username",
        "author",
        "author_id",
        "customer",
        "customer_id",
        "speaker",
        "patient_id",
    ),
    *("session", "session_id", "conversation_id", "dialogue_id", "thread_id", "document_id", "doc_id", "article_id"),
    *("product_id", "group", "group_id", "用户", "用户名", "用户id", "作者", "客户", "会话", "商品id"),
)
"""Columns of which several rows may have one value, because they belong together."""

ID = ("id", "_id", "uuid", "guid", "uid", "idx", "index", "row_id", "key", "编号", "序号")

KNOWN = frozenset[str]().union(
    *(MESSAGES, SYSTEM, TOOLS, HISTORY, INSTRUCTION, INPUT, RESPONSE, PROMPT, COMPLETION, SOURCE, TARGET, LANGUAGES),
    *(TEXT, *PAIRS, LABEL, LABELS, SCORE, TOKENS, TAGS, WEIGHT, MAY_BE_WEIGHT, ID),
)
"""All of these names."""

ROLES = {
    "human": "user",
    "prompter": "user",
    "user": "user",
    "customer": "user",
    "用户": "user",
    "人类": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "ai": "assistant",
    "agent": "assistant",
    "助手": "assistant",
    "system": "system",
    "系统": "system",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "function_call": "tool_calls",
}
"""What sources call the roles, in lower case, and what we call them."""

TURN_KEYS = (
    ("role", "content"),
    ("from", "value"),
    ("role", "value"),
    ("role", "text"),
    ("from", "content"),
    ("speaker", "text"),
    ("speaker", "content"),
    ("sender", "text"),
    ("author", "content"),
    ("author", "text"),
)
"""What turns call their role and their content."""
