"""Questions about the documents beside this file: each with the document that holds the answer and
words of the answer as they stand in it."""

from __future__ import annotations

from typing import NamedTuple


class Asked(NamedTuple):
    question: str
    document: str
    answer: str


ENGLISH = (
    Asked("How many days of paid holiday leave do employees get?", "leave-policy.md", "28 days"),
    Asked("When do I have to bring a doctor's note?", "leave-policy.md", "fourth day"),
    Asked("How long is parental leave?", "leave-policy.md", "12 months"),
    Asked("How do I descale the coffee machine?", "coffee-machine.txt", "citric acid"),
    Asked("What does error E4 mean?", "coffee-machine.txt", "brewing unit"),
    Asked("Who orders coffee beans?", "coffee-machine.txt", "Marta"),
    Asked("How long are monthly backups kept?", "backup.md", "7 years"),
    Asked("How do I restore the database?", "backup.md", "restore.sh"),
    Asked("At what time is the database dumped?", "backup.md", "02:30"),
    Asked("How many requests per minute may an API key make?", "api-limits.md", "600 requests"),
    Asked("How are webhooks signed?", "api-limits.md", "HMAC-SHA256"),
    Asked("X-Kestrel-Signature", "api-limits.md", "X-Kestrel-Signature"),
    Asked("Why do live updates come in bursts behind nginx?", "deployment.md", "buffer"),
    Asked("Which PostgreSQL version is required?", "deployment.md", "PostgreSQL 15"),
    Asked("How do I upgrade the tracking service?", "deployment.md", "one minor version"),
    Asked("My laptop was stolen, what should I do?", "security.md", "extension 112"),
    Asked("How long must a password be?", "security.md", "14 characters"),
    Asked("Can I change my delivery address?", "faq.md", "loaded onto the van"),
    Asked("Can I send perfume or batteries?", "faq.md", "perfume"),
    Asked("The parcel is damaged, how do I claim compensation?", "faq.md", "seven days"),
    Asked("Where is the route computed in the code?", "onboarding.md", "route_planner.go"),
    Asked("How much may a hotel cost?", "onboarding.md", "120 euros"),
)

CHINESE = (
    Asked("年假有多少天？", "请假制度.md", "十五天"),
    Asked("请病假什么时候需要医院证明？", "请假制度.md", "第四天"),
    Asked("陪产假有几天", "请假制度.md", "陪产假十五天"),
    Asked("咖啡机怎么除垢？", "咖啡机说明.txt", "柠檬酸"),
    Asked("E4 故障是什么意思？", "咖啡机说明.txt", "冲泡器"),
    Asked("咖啡豆由谁订购？", "咖啡机说明.txt", "小马"),
    Asked("每月备份保留多久？", "备份与恢复.md", "7 年"),
    Asked("如何恢复数据库？", "备份与恢复.md", "恢复脚本"),
    Asked("数据库几点备份？", "备份与恢复.md", "两点半"),
    Asked("每分钟可以发多少次请求？", "接口限流.md", "600 次"),
    Asked("回调的签名怎么计算？", "接口限流.md", "HMAC-SHA256"),
    Asked("怎么提高接口的限额", "接口限流.md", "api-support@example.com"),
    Asked("nginx 代理下实时更新为什么一批一批地到？", "部署指南.md", "proxy_buffering off"),
    Asked("需要哪个版本的 PostgreSQL？", "部署指南.md", "PostgreSQL 15"),
    Asked("如何升级轨迹服务？", "部署指南.md", "一个小版本"),
    Asked("笔记本电脑丢了怎么办？", "信息安全.md", "112"),
    Asked("密码至少要多长？", "信息安全.md", "十四位"),
    Asked("请问可以修改收货地址吗？", "常见问题.md", "装车之前"),
    Asked("香水和电池能寄吗", "常见问题.md", "香水"),
    Asked("包裹破损如何申请理赔？", "常见问题.md", "七天内"),
    Asked("住宿费用每晚上限是多少？", "会议室与报销.md", "四百元"),
    Asked("会议室最长能预订多久？", "会议室与报销.md", "两小时"),
)

#: Neither the English nor the Chinese documents hold an answer to these.
UNANSWERABLE = (
    "What is the capital of France?",
    "Who won the football world cup in 2022?",
    "How do I bake banana bread?",
    "Explain the theory of general relativity",
    "Which whales live in the Antarctic ocean?",
    "What is the share price of the company?",
    "Tell me a joke about penguins",
    "今天北京天气怎么样？",
    "红烧肉怎么做？",
    "量子力学的基本原理是什么？",
    "谁是唐朝的第一位皇帝？",
    "推荐几部科幻电影",
    "What is it?",
    "这是什么？",
    "???",
    "",
)
