include $(sort $(wildcard $(BR2_EXTERNAL_DRAWBRIDGE_PATH)/package/*/*.mk))
